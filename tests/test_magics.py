"""%%to_hdf5 in a real shell, and in a real kernel."""

import atexit
import os
import re
import traceback

import h5py
import nbformat
import numpy as np
import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from shmkit import share


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    monkeypatch.chdir(tmp_path)
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "shmkit")
    shell.user_ns["np"] = np
    yield shell
    shell.atexit_operations()
    atexit.unregister(shell.atexit_operations)
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell):
    """Run a cell; gives the shell's result, what was displayed, and what was printed."""

    def run(cell):
        with capture_output() as captured:
            result = shell.run_cell(cell)
        result.displayed = captured.outputs
        result.printed = plain(captured.stdout)
        return result

    return run


def plain(text):
    """Without the colours of a terminal."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def saved(path="results.h5"):
    """Every dataset of a file as plain lists."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tolist()

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_arrays_that_the_cell_assigns_are_saved(run, shell):
    run("older = np.arange(9)")
    result = run("%%to_hdf5 results.h5\na = np.arange(3)\nb = a * 2")
    assert result.error_in_exec is None
    assert saved() == {"a": [0, 1, 2], "b": [0, 2, 4]}
    assert shell.user_ns["b"].tolist() == [0, 2, 4]
    assert "older" not in saved()


def test_the_table_is_displayed_and_the_last_value_returned(run):
    result = run("%%to_hdf5 results.h5\nprint('hello')\na = np.arange(3)\na.sum()")
    assert result.result == 3
    assert result.printed.startswith("hello\n")
    (table,) = [output for output in result.displayed if "text/html" in output.data]
    assert "results.h5" in table.data["text/html"]
    # In a terminal the table is text: dataset, shape, dtype, bytes in memory and in the file.
    summary, headings, row = table.data["text/plain"].splitlines()
    assert summary.startswith("results.h5: 1 dataset")
    assert headings.split() == ["Dataset", "Shape", "Array", "Memory", "File", "Ratio"]
    assert row.split() == ["a", "3", "int64", "24", "B", "24", "B", "100.0", "%"]


def test_a_semicolon_hides_the_last_value(run):
    result = run("%%to_hdf5 results.h5\na = np.arange(3)\na;")
    assert result.result is None
    assert saved() == {"a": [0, 1, 2]}


def test_the_file_holds_the_text_of_the_cell(run):
    text = 'a = np.arange(3)\nnote = """two\n  lines"""\n'
    run(f"%%to_hdf5 results.h5\n{text}")
    with h5py.File("results.h5") as file:
        assert file.attrs["cell"] == text


def test_strings_over_several_lines_and_magics_are_as_in_any_cell(run, shell):
    run('%%to_hdf5 results.h5\nnote = """one\n  two"""\nhere = %pwd\na = np.arange(2)')
    assert shell.user_ns["note"] == "one\n  two"
    assert shell.user_ns["here"] == os.getcwd()


def test_functions_of_the_cell_see_its_variables(run):
    run("%%to_hdf5 results.h5\nn = 3\ndef f():\n    return np.arange(n)\na = f()")
    assert saved() == {"a": [0, 1, 2]}


def test_a_cell_that_raises_saves_nothing(run, shell):
    run("%%to_hdf5 results.h5\na = np.arange(3)")
    result = run("%%to_hdf5 results.h5\na = np.arange(4)\n1 / 0\n")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert saved() == {"a": [0, 1, 2]}
    assert shell.user_ns["a"].tolist() == [0, 1, 2, 3]
    assert result.printed.count("ZeroDivisionError: ") == 1
    last = traceback.extract_tb(result.error_in_exec.__traceback__)[-1]
    assert (last.lineno, last.line) == (3, "1 / 0")


def test_a_cell_that_is_not_python_saves_nothing(run):
    result = run("%%to_hdf5 results.h5\na = np.arange(3)\nb = = 1\n")
    assert isinstance(result.error_in_exec, SyntaxError)
    assert result.error_in_exec.lineno == 3
    assert not os.path.exists("results.h5")


def test_an_annotation_assigns_nothing(run):
    run("older = np.arange(9)")
    run("%%to_hdf5 results.h5\nolder: object\nx: object = np.arange(2)")
    assert saved() == {"x": [0, 1]}


def test_running_a_cell_again_saves_the_same(run):
    run("kept = np.arange(3)\ntotal = np.zeros(2)")
    for turn in (1, 2):
        run("%%to_hdf5 results.h5\nsame = kept\ntotal += 1")
        assert saved() == {"same": [0, 1, 2], "total": [turn, turn]}


@pytest.mark.parametrize(
    "statement",
    [
        "x = np.arange(2)",
        "x: object = np.arange(2)",
        "(y, [x]) = 0, [np.arange(2)]",
        "*x, = np.arange(2),\nx = x[0]",
        "if (x := np.arange(2)).any():\n    pass",
        "if True:\n    x = np.arange(2)",
        "try:\n    x = np.arange(2)\nfinally:\n    pass",
        "for i in range(1):\n    x = np.arange(2)",
        "with open('f', 'w') as f:\n    x = np.arange(2)",
        "match np.arange(2):\n    case other:\n        x = other\ndel other",
    ],
)
def test_every_kind_of_assignment_at_the_top_level_counts(run, statement):
    result = run(f"%%to_hdf5 results.h5\n{statement}")
    assert result.error_in_exec is None
    assert saved() == {"x": [0, 1]}


def test_names_of_functions_classes_comprehensions_and_loops_do_not_count(run):
    result = run(
        "%%to_hdf5 results.h5\n"
        "def f():\n    inner = np.arange(2)\n    return inner\n"
        "class C:\n    attribute = np.arange(2)\n"
        "pieces = [piece for piece in np.eye(2)]\n"
        "for row in np.eye(2):\n    pass\n"
        "_private = np.arange(2)\n"
        "import sys\n"
        "deleted = np.arange(2)\ndel deleted\n"
        "x = f()\n"
    )
    assert saved() == {"x": [0, 1]}
    assert result.printed == (
        "Not saved: pieces (list: numpy.stack or numpy.asarray makes it an array), "
        "row (a variable of for or with)\n"
    )


def test_what_else_was_assigned_is_told_with_the_reason(run):
    result = run(
        "%%to_hdf5 results.h5\n"
        "x, n, mean = np.arange(2), 3, np.arange(2).mean()\n"
        "mixed = {'x': x, 'n': 3}\n"
        "handle = open('f', 'w')\n"
        "handle.close()\n"
    )
    assert saved() == {"x": [0, 1]}
    assert result.printed == (
        "Not saved: n (int), mean (float64: is saved if you name it after the path), "
        "mixed (dict: holds other things than arrays)\n"
    )


def test_loaded_arrays_are_a_group(run, shell, two_arrays):
    shell.user_ns["loaded"] = two_arrays
    run("%%to_hdf5 results.h5\narrays = loaded")
    assert saved() == {"arrays/one": [0, 1, 2], "arrays/two": [1, 2, 3]}


def test_arrays_that_were_closed_are_told(run, shell, two_arrays):
    shell.user_ns["loaded"] = two_arrays
    result = run("%%to_hdf5 results.h5\narrays = loaded\narrays.close()\nx = np.arange(2)")
    assert saved() == {"x": [0, 1]}
    assert result.printed == "Not saved: arrays (SharedArrays: is closed)\n"


def test_mappings_of_arrays_become_groups(run):
    run("%%to_hdf5 results.h5\nruns = {'one': np.arange(2), 'two': {'x': np.arange(3)}}")
    assert saved() == {"runs/one": [0, 1], "runs/two/x": [0, 1, 2]}


def test_arrays_in_shared_memory_are_saved_as_any(run, shell):
    with share(np.arange(3)) as array:
        shell.user_ns["loaded"] = array
        run("%%to_hdf5 results.h5\nx = loaded[1:]")
        del shell.user_ns["loaded"], shell.user_ns["x"]
    assert saved() == {"x": [1, 2]}


def test_named_variables_are_saved_and_no_others(run):
    run("older = np.arange(2)")
    result = run("%%to_hdf5 results.h5 older mean\nx = np.arange(9)\nmean = x.mean()")
    assert result.printed == ""
    assert saved() == {"older": [0, 1], "mean": 4.0}


def test_a_name_that_is_no_variable_is_an_error(run):
    result = run("%%to_hdf5 results.h5 x nowhere\nx = np.arange(9)")
    assert isinstance(result.error_in_exec, NameError)
    assert "there is no variable nowhere" in str(result.error_in_exec)
    assert not os.path.exists("results.h5")


def test_a_named_variable_that_is_no_array_is_an_error(run):
    result = run("%%to_hdf5 results.h5 pieces\npieces = [1, 2]")
    assert isinstance(result.error_in_exec, TypeError)
    assert "pieces is no numpy array but of type list" in str(result.error_in_exec)


def test_an_array_that_hdf5_cannot_hold_is_an_error(run):
    result = run("%%to_hdf5 results.h5\nx = np.arange(2)\nlabels = np.array(['a', None])")
    assert isinstance(result.error_in_exec, TypeError)
    assert "labels holds Python objects" in str(result.error_in_exec)
    assert not os.path.exists("results.h5")


def test_nothing_to_save_is_an_error_that_says_what_would_be(run):
    result = run("%%to_hdf5 results.h5\nn = 3")
    assert isinstance(result.error_in_exec, ValueError)
    assert not isinstance(result.error_in_exec, UsageError)
    message = str(result.error_in_exec)
    assert message.startswith(
        "results.h5 was not written: the cell has run, but assigned no arrays"
    )
    assert message.endswith("Not saved: n (int)")
    assert not os.path.exists("results.h5")


@pytest.mark.parametrize("compression", ["gzip", "lzf", "none"])
def test_compression(run, compression):
    run(f"%%to_hdf5 results.h5 --compression {compression} x\nx = np.zeros(9999)")
    with h5py.File("results.h5") as file:
        assert str(file["x"].compression).lower() == compression


@pytest.mark.parametrize("line", ["'my results.h5'", '"my results.h5"', r"my\ results.h5"])
def test_a_path_with_spaces(run, line):
    run(f"%%to_hdf5 {line}\nx = np.arange(2)")
    assert saved("my results.h5") == {"x": [0, 1]}


def test_variables_in_the_path(run):
    run("run = 7")
    run("%%to_hdf5 run_{run}.h5\nx = np.arange(2)")
    run("%%to_hdf5 $run\nx = np.arange(3)")
    assert saved("run_7.h5") == {"x": [0, 1]}
    assert saved("7") == {"x": [0, 1, 2]}


def test_a_path_in_the_home_directory(run, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run("%%to_hdf5 ~/a.h5\nx = np.arange(2)")
    assert saved(tmp_path / "home" / "a.h5") == {"x": [0, 1]}


@pytest.mark.parametrize("path", ["{nowhere}.h5", "$nowhere", "run_{run:03d}.h5"])
def test_a_variable_that_ipython_left_in_the_path_is_an_error_before_the_cell_runs(
    run, shell, path
):
    run("run = 7")
    result = run(f"%%to_hdf5 {path}\nx = np.arange(2)")
    assert isinstance(result.error_in_exec, NameError)
    assert path in str(result.error_in_exec)
    assert "x" not in shell.user_ns
    assert not [name for name in os.listdir() if "h5" in name or "$" in name]


def test_a_path_that_cannot_be_is_an_error_before_the_cell_runs(run, shell):
    result = run("%%to_hdf5 nowhere/results.h5\nx = np.arange(2)")
    assert isinstance(result.error_in_exec, FileNotFoundError)
    assert "x" not in shell.user_ns


@pytest.mark.parametrize("flag", ["-h", "--help", "results.h5 -h"])
def test_help_is_printed_and_nothing_run(run, shell, flag):
    result = run(f"%%to_hdf5 {flag}\nx = np.arange(2)")
    assert result.error_in_exec is None
    assert result.printed.startswith("usage: %%to_hdf5 ")
    assert "--compression {gzip,lzf,none}" in result.printed
    assert "x" not in shell.user_ns


def test_the_question_mark_shows_the_help(shell):
    help_text = shell.object_inspect("%%to_hdf5")["docstring"]
    assert "--compression {gzip,lzf,none}" in help_text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("results.h5 --compress lzf", "unrecognized arguments: --compress"),
        ("results.h5 --compression zip", "invalid choice: 'zip'"),
        ("", "the following arguments are required: path"),
        ("'results.h5", "No closing quotation"),
    ],
)
def test_a_bad_line_is_an_error_before_the_cell_runs(run, shell, line, message):
    result = run(f"%%to_hdf5 {line}\nx = np.arange(2)")
    assert isinstance(result.error_in_exec, UsageError)
    assert message in str(result.error_in_exec)
    assert "x" not in shell.user_ns
    assert not os.path.exists("results.h5")


def test_loading_the_extension_again_is_fine(run, shell):
    shell.run_line_magic("reload_ext", "shmkit")
    run("%%to_hdf5 results.h5\nx = np.arange(2)")
    assert saved() == {"x": [0, 1]}


def execute(folder, *cells):
    """Run the cells as a notebook, in an ipykernel of its own, and give their outputs."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook,
        timeout=60,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return [cell.outputs for cell in notebook.cells]


def test_in_a_kernel_the_table_the_printed_and_the_value_are_there(tmp_path):
    outputs = execute(
        tmp_path,
        "%load_ext shmkit\nimport numpy as np",
        "%%to_hdf5 results.h5\nprint('hello')\nx, n = np.arange(3), 3\nx.sum()",
    )
    hello, table, told, value = outputs[1]
    assert hello.text == "hello\n"
    assert "<table" in table.data["text/html"]
    assert told.text == "Not saved: n (int)\n"
    assert value.data["text/plain"] == "np.int64(3)"
    assert saved(tmp_path / "results.h5") == {"x": [0, 1, 2]}


def test_in_a_kernel_an_error_is_shown_once_and_ends_run_all(tmp_path):
    with pytest.raises(CellExecutionError) as caught:
        execute(
            tmp_path,
            "%load_ext shmkit",
            "%%to_hdf5 results.h5\nimport numpy as np\nx = np.arange(3)\nx[3]",
            "open('went on', 'w')",
        )
    assert caught.value.ename == "IndexError"
    shown = plain(str(caught.value))
    assert shown.count("IndexError: index 3") == 1
    assert "----> 4 x[3]" in shown
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "error"), [("results.h5 --compress", "UsageError"), ("results.h5", "ValueError")]
)
def test_in_a_kernel_every_error_ends_run_all(tmp_path, line, error):
    with pytest.raises(CellExecutionError) as caught:
        execute(tmp_path, "%load_ext shmkit", f"%%to_hdf5 {line}\nn = 3", "open('on', 'w')")
    assert caught.value.ename == error
    assert os.listdir(tmp_path) == []
