"""%%to_hdf5 in a real shell, and in a real kernel."""

import atexit
import builtins
import gc
import os
import re
import traceback
from pathlib import Path

import h5py
import nbformat
import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from shmkit import share


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "shmkit")
    shell.user_ns["np"] = np
    yield shell
    gc.freeze()  # the shell collects garbage here: 0.4 s a test, if all that is loaded is looked at
    shell.atexit_operations()
    gc.unfreeze()
    atexit.unregister(shell.atexit_operations)
    shell.restore_sys_module_state()
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
    assert not [name for name in dir(builtins) if "to_hdf5" in name]
    last = traceback.extract_tb(result.error_in_exec.__traceback__)[-1]
    assert (last.lineno, last.line) == (3, "1 / 0")


def test_a_cell_that_is_not_python_saves_nothing(run):
    result = run("%%to_hdf5 results.h5\na = np.arange(3)\nb = = 1\n")
    assert isinstance(result.error_in_exec, SyntaxError)
    assert result.error_in_exec.lineno == 3
    assert not os.path.exists("results.h5")


def test_running_a_cell_again_saves_the_same(run):
    run("kept = np.arange(3)\ntotal = np.zeros(2)")
    for turn in (1, 2):
        run("%%to_hdf5 results.h5\nsame = kept\nfor _ in 'ab': total += 1")
        assert saved() == {"same": [0, 1, 2], "total": [2 * turn, 2 * turn]}


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
        "x -= [9, 8]",
        "x[:] = 0, 1",
        "x.flat[0], x.flat[1] = 0, 1",
        "x.flat = 0, 1",
        "for i in range(2):\n    x[i] = i",
        "(x := np.arange(2))",
        "%reset_selective -f x\nx = np.arange(2)",
    ],
)
def test_what_an_assignment_of_the_cell_binds_or_changes_is_saved(run, statement):
    run("x = np.array([9, 9])")
    result = run(f"%%to_hdf5 results.h5\n{statement}")
    assert result.error_in_exec is None
    assert saved() == {"x": [0, 1]}


@pytest.mark.parametrize(
    "statement",
    [
        "if False:\n    x = 1",
        "x: object",
        "for x in np.eye(2):\n    pass",
        "import contextlib\nwith contextlib.nullcontext(np.eye(2)) as x:\n    pass",
        "def f():\n    global x\n    x = np.eye(2)\nf()",
        "exec('x = np.eye(2)')",
        "[x := row for row in np.eye(2)];",
        "from made import *",
        "%time x = np.eye(2)",
    ],
)
def test_arrays_that_are_bound_otherwise_are_told(run, monkeypatch, tmp_path, statement):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "made.py").write_text("import numpy\nx = numpy.eye(2)\n")
    run("x, older = np.zeros(2), np.ones(2)")
    result = run(f"%%to_hdf5 results.h5\nkept = np.arange(2)\n{statement}")
    assert result.error_in_exec is None
    assert saved() == {"kept": [0, 1]}
    assert result.printed.endswith(
        "Not saved: x (not assigned by the cell itself; saved if named after the path)\n"
    )


def test_names_that_are_not_the_cells_or_not_arrays_are_passed_over(run):
    run("inner = attribute = np.zeros(1)")
    result = run(
        "%%to_hdf5 results.h5\n"
        "def f():\n    inner = np.arange(2)\n    return inner\n"
        "class C:\n    attribute = np.arange(2)\n"
        "_private = np.arange(2)\n"
        "import sys\n"
        "deleted = np.arange(2)\ndel deleted\n"
        "handle = open('f', 'w')\nhandle.close()\n"
        "x = f()\n"
    )
    assert saved() == {"x": [0, 1]}
    assert result.printed == ""


def test_what_functions_change_in_place_is_saved_if_named(run):
    cell = "np.add(x, 1, out=x)\nx.sort()\ny = np.zeros(1)"
    run("x = np.array([1, 0])")
    result = run(f"%%to_hdf5 results.h5\n{cell}")
    assert (saved(), result.printed) == ({"y": [0]}, "")
    run(f"%%to_hdf5 results.h5 x\n{cell}")
    assert saved() == {"x": [2, 3]}


def test_other_values_are_told_with_what_to_do(run):
    result = run(
        "%%to_hdf5 results.h5\n"
        "x, n, m, mean = np.arange(2), 3, 4, np.arange(2).mean()\n"
        "pieces = [x]\n"
        "mixed, more = {'x': x, 'n': {3}}, {'x': x, 'n': 3}\n"
        "class Table:\n    def to_records(self): return x\n"
        "class Series:\n    def __array__(self): return x\n"
        "table, series = Table(), Series()\n"
    )
    assert saved() == {"x": [0, 1]}
    assert result.printed == (
        "Not saved: n, m (int; saved if named after the path)\n"
        "           mean (float64; saved if named after the path)\n"
        "           pieces (list; numpy.stack makes an array of it)\n"
        "           mixed (dict; holds other things than arrays)\n"
        "           more (dict; saved if named after the path)\n"
        "           table (Table)\n"
        "           series (Series; numpy.asarray makes it an array)\n"
    )


def test_frames_are_saved_and_so_is_a_number_that_is_named(run):
    run(
        "%%to_hdf5 results.h5\nimport pandas as pd\n"
        "table = pd.DataFrame({'a': [1, 2]})\nn, names = 3, ['a']\n"
    )
    assert saved() == {"table/a": [1, 2]}
    run("%%to_hdf5 results.h5 n names\npass")
    assert saved() == {"n": 3, "names": [b"a"]}


def test_loaded_arrays_are_a_group(run, shell, two_arrays):
    shell.user_ns["loaded"] = two_arrays
    run("%%to_hdf5 results.h5\narrays = loaded")
    assert saved() == {"arrays/one": [0, 1, 2], "arrays/two": [1, 2, 3]}


def test_arrays_that_were_closed_are_told(run, shell, two_arrays):
    shell.user_ns["loaded"] = two_arrays
    result = run("%%to_hdf5 results.h5\narrays = loaded\narrays.close()\nx = np.arange(2)")
    assert saved() == {"x": [0, 1]}
    assert result.printed == "Not saved: arrays (SharedArrays; is closed)\n"


def test_mappings_of_arrays_become_groups(run):
    run("%%to_hdf5 results.h5\nruns = {'one': np.arange(2), 'two': {'x': np.arange(3)}}")
    assert saved() == {"runs/one": [0, 1], "runs/two/x": [0, 1, 2]}
    run("%%to_hdf5 results.h5\nruns['one'] = np.arange(1)")
    assert saved() == {"runs/one": [0], "runs/two/x": [0, 1, 2]}


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


def test_globs_stand_for_the_arrays_whose_names_fit(run):
    run("mean_a, mean_b, other = np.zeros((3, 1))")
    result = run(
        "%%to_hdf5 results.h5 mean_? [mn]ew\nmean_c, mean_n, mean_of = mean_a, 3, np.mean\n"
        "new, _mean = np.ones((2, 1))"
    )
    assert saved() == {"mean_a": [0], "mean_b": [0], "mean_c": [0], "new": [1]}
    assert result.printed == "Not saved: mean_n (int; saved if named after the path)\n"
    run("del mean_a, mean_b, mean_c, mean_n")
    result = run("%%to_hdf5 results.h5 *\npass")
    assert (saved(), result.printed) == ({"other": [0], "new": [1]}, "")


def test_an_underscore_stands_for_the_value_of_the_last_expression(run):
    result = run("%%to_hdf5 results.h5 _ x\nx = np.arange(2)\nx + 1")
    assert saved() == {"_": [1, 2], "x": [0, 1]}
    assert result.result.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ("x nowhere", "no variable nowhere."),
        (
            "no* x none_*",
            (
                "no variable no*, no variable none_*. "
                "Not saved: no (int; saved if named after the path)"
            ),
        ),
        ("_", "no value of a last expression _."),
    ],
)
def test_a_name_without_an_array_is_an_error(run, names, what):
    result = run(f"%%to_hdf5 results.h5 {names}\nx, no = np.arange(9), 1")
    assert isinstance(result.error_in_exec, NameError)
    assert str(result.error_in_exec).strip().endswith(f"after the cell has run there is {what}")
    assert not os.path.exists("results.h5")


def test_a_named_variable_that_is_no_array_is_an_error(run):
    result = run("%%to_hdf5 results.h5 pieces\npieces = {1, 2}")
    assert isinstance(result.error_in_exec, TypeError)
    assert "pieces is of type set, which HDF5 cannot hold" in str(result.error_in_exec)


def test_an_array_that_hdf5_cannot_hold_is_an_error(run):
    result = run("%%to_hdf5 results.h5\nx = np.arange(2)\nlabels = np.array(['a', 3], object)")
    assert isinstance(result.error_in_exec, TypeError)
    assert "labels holds Python objects" in str(result.error_in_exec)
    assert not os.path.exists("results.h5")


def test_nothing_to_save_is_an_error_that_says_what_would_be(run):
    result = run("%%to_hdf5 results.h5\nn = 3")
    assert isinstance(result.error_in_exec, ValueError)
    assert not isinstance(result.error_in_exec, UsageError)
    message = str(result.error_in_exec)
    assert message.startswith(
        "results.h5 was not written: the cell has run, but assigned no arrays;"
    )
    assert message.endswith("Not saved: n (int; saved if named after the path)")
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
    run("%%to_hdf5 res_$run.h5 --group at_{run}\nx = np.arange(4)")
    run("%%to_hdf5 $run.h5 --group '$run'\nx = np.arange(5)")
    assert saved("res_7.h5") == {"at_7/x": [0, 1, 2, 3]}
    assert saved("7.h5") == {"7/x": [0, 1, 2, 3, 4]}


def test_a_path_in_the_home_directory(run, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    run("%%to_hdf5 ~/a.h5\nx = np.arange(2)")
    assert saved(tmp_path / "home" / "a.h5") == {"x": [0, 1]}


@pytest.mark.parametrize(
    "path", ["{nowhere}.h5", "$nowhere", "res_$nowhere.h5", "run_{run:03d}.h5"]
)
def test_a_variable_that_ipython_left_in_the_path_is_an_error_before_the_cell_runs(
    run, shell, path
):
    run("run = 7")
    result = run(f"%%to_hdf5 {path}\nx = np.arange(2)")
    assert isinstance(result.error_in_exec, NameError)
    assert path in str(result.error_in_exec)
    assert "x" not in shell.user_ns
    assert not [name for name in os.listdir() if "h5" in name or "$" in name]


@pytest.mark.parametrize(
    ("line", "error"),
    [("nowhere/results.h5", FileNotFoundError), ("there.h5 --mode x", FileExistsError)],
)
def test_a_path_that_cannot_be_is_an_error_before_the_cell_runs(run, shell, line, error):
    open("there.h5", "w").close()
    result = run(f"%%to_hdf5 {line}\nx = np.arange(2)")
    assert isinstance(result.error_in_exec, error)
    assert "x" not in shell.user_ns


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("text.csv --append", "text.csv'"),
        ("good.h5 --append --group x", "'x' is a dataset in the file"),
        ("good.h5 --mode a --group x/y", "'x' is a dataset in the file"),
        ("sealed.h5", "read-only"),
        ("sealed.h5 --append", "read-only"),
    ],
)
def test_a_file_that_cannot_take_it_is_an_error_before_the_cell_runs(run, shell, line, message):
    """The superuser may write to all of them."""
    with open("text.csv", "w") as file:
        file.write("a,b\n")
    for name in ("good.h5", "sealed.h5"):
        with h5py.File(name, "w") as file:
            file["x"] = 1
    os.chmod("sealed.h5", 0o444)
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    result = run(f"%%to_hdf5 {line}\nx = np.arange(2)")
    assert isinstance(result.error_in_exec, OSError | ValueError)
    assert message in str(result.error_in_exec)
    assert "x" not in shell.user_ns
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


@pytest.mark.parametrize("flag", ["-h", "--help", "results.h5 -h"])
def test_help_is_printed_and_nothing_run(run, shell, flag):
    result = run(f"%%to_hdf5 {flag}\nx = np.arange(2)")
    assert result.error_in_exec is None
    assert result.printed.startswith("usage: %%to_hdf5 ")
    assert "--compression NAME" in result.printed
    assert max(map(len, result.printed.splitlines())) <= 80
    assert "x" not in shell.user_ns


def test_the_question_mark_shows_the_help(shell):
    help_text = shell.object_inspect("%%to_hdf5")["docstring"]
    assert "--compression NAME" in help_text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("results.h5 --compress lzf", "unrecognized arguments: --compress"),
        ("results.h5 --compression zip", "--compression 'zip' is none of"),
        ("results.h5 --level 10", "--level 10: gzip has 0 to 9"),
        ("results.h5 --level high", "argument --level: invalid int value: 'high'"),
        ("results.h5 --chunks 3,0", "argument --chunks: '3,0' is not like 1000"),
        ("results.h5 --attr run", "argument --attr: 'run' is not like key=value"),
        ("results.h5 --layout rows", "argument --layout: invalid choice: 'rows'"),
        ("results.h5 --group a//b", "'a//b' cannot be a name in HDF5"),
        ("results.h5 x.y", "'x.y' is no name of a variable"),
        ("", "the following arguments are required: PATH;"),
        ("'results.h5", "No closing quotation"),
    ],
)
def test_a_bad_line_is_an_error_before_the_cell_runs(run, shell, line, message):
    result = run(f"%%to_hdf5 {line}\nx = np.arange(2)")
    assert isinstance(result.error_in_exec, UsageError)
    assert message in str(result.error_in_exec)
    assert "x" not in shell.user_ns
    assert not os.path.exists("results.h5")


def test_options_say_where_and_how_arrays_are_stored(run):
    run(
        "%%to_hdf5 results.h5 --group a/b --level 4 --no-shuffle --chunks 3,2 --attr who=me "
        "--attr 'note=a = b'\nx = np.ones((9, 4))"
    )
    with h5py.File("results.h5") as file:
        x, attrs = file["a/b/x"], dict(file["a/b"].attrs)
        assert (x.compression_opts, x.shuffle, x.chunks) == (4, False, (3, 2))
    assert (attrs["who"], attrs["note"], attrs["cell"]) == ("me", "a = b", "x = np.ones((9, 4))\n")
    run("%%to_hdf5 results.h5 --layout columns --concat --chunks 2\nx = y = np.ones(2, 'i4,i8')")
    with h5py.File("results.h5") as file:
        assert (file["data/f0"].shape, file["data/f0"].chunks) == ((4,), (2,))


def test_append_adds_to_a_file_and_overwrite_replaces(run):
    run("%%to_hdf5 results.h5\nx = np.arange(2)")
    run("%%to_hdf5 results.h5 --append\ny = np.arange(1)")
    result = run("%%to_hdf5 results.h5 --mode a\nx = np.arange(3)")
    assert isinstance(result.error_in_exec, ValueError)
    assert saved() == {"x": [0, 1], "y": [0]}
    run("%%to_hdf5 results.h5 --append --overwrite\nx = np.arange(3)")
    assert saved() == {"x": [0, 1, 2], "y": [0]}


def test_a_dry_run_shows_what_would_be_written(run):
    result = run(
        "%%to_hdf5 results.h5 --dry-run --group 2024 --layout columns\n"
        "x, n = np.zeros(3, [('chr', 'S5'), ('pos', 'i8')]), 3\nn + 1;"
    )
    assert (result.result, result.printed) == (
        None,
        "Not saved: n (int; saved if named after the path)\n",
    )
    (table,) = result.displayed
    assert "2024/x/chr" in table.data["text/html"]
    summary, _, *rows = table.data["text/plain"].splitlines()
    assert summary == (
        "results.h5: 2 datasets · 39 B in memory · nothing was written, as this is a dry run"
    )
    assert [row.split() for row in rows] == [
        ["2024/x/chr", "3", "|S5", "15", "B"],
        ["2024/x/pos", "3", "int64", "24", "B"],
    ]
    assert not os.path.exists("results.h5")


@pytest.mark.parametrize(
    ("options", "cell"),
    [("", "x = np.array([{}])"), ("--chunks 1,1", "x = np.arange(2)")],
)
def test_a_dry_run_fails_where_the_export_would(run, options, cell):
    dry = run(f"%%to_hdf5 results.h5 --dry-run {options}\n{cell}").error_in_exec
    real = run(f"%%to_hdf5 results.h5 {options}\n{cell}").error_in_exec
    assert real is not None
    assert (type(dry), str(dry)) == (type(real), str(real))


def test_await_is_an_error_that_says_what_to_do(run, shell):
    result = run("%%to_hdf5 results.h5\nx = np.arange(2)\nawait x")
    assert isinstance(result.error_in_exec, SyntaxError)
    assert result.error_in_exec.lineno == 3
    assert "cannot wait: do that in a cell before" in str(result.error_in_exec)
    assert "x" not in shell.user_ns


def completed(shell, text):
    with provisionalcompleter():
        return {found.text for found in shell.Completer.completions(text, len(text))}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--c", {"--compression", "--chunks", "--concat"}),
        ("--layout ", {"table", "columns"}),
        ("--append --mode ", {"w", "x", "a"}),
        ("x --compression l", {"lzf", "lz4"}),
    ],
)
def test_options_and_their_values_complete(shell, line, words):
    assert completed(shell, f"%%to_hdf5 results.h5 {line}") == words


def test_files_complete_and_the_cell_as_any(shell):
    open("results.h5", "w").close()
    assert "results.h5" in completed(shell, "%%to_hdf5 res")
    assert "zeros" in completed(shell, "%%to_hdf5 results.h5\nnp.zero")


@pytest.mark.parametrize("command", ["load_ext", "reload_ext"])
def test_loading_the_extension_again_and_unloading_it(run, shell, command):
    shell.run_line_magic(command, "shmkit")
    run("%%to_hdf5 results.h5\nx = np.arange(2)")
    assert saved() == {"x": [0, 1]}
    assert len(shell.Completer.custom_matchers) == 1
    shell.run_line_magic("unload_ext", "shmkit")
    assert shell.Completer.custom_matchers == []
    assert isinstance(run("%%to_hdf5 results.h5\ny = 1").error_in_exec, UsageError)
    shell.run_line_magic("load_ext", "shmkit")
    assert completed(shell, "%%to_hdf5 --dr") == {"--dry-run"}


@pytest.mark.slow
def test_interrupting_the_kernel_during_the_write_leaves_the_old_file(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "results.h5").write_text("old")
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        client.execute("%load_ext shmkit\nimport numpy as np", reply=True, timeout=60)
        client.execute("%%to_hdf5 results.h5\nx = np.broadcast_to(np.ones(9999), (9**9, 9999))")
        while not [name for name in os.listdir(folder) if name.endswith(".tmp")]:
            assert manager.is_alive()
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=60)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
        manager.cleanup_resources()
    assert reply["ename"] == "KeyboardInterrupt"
    assert os.listdir(folder) == ["results.h5"]
    assert (folder / "results.h5").read_text() == "old"


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


@pytest.mark.slow
def test_in_a_kernel_the_table_the_printed_and_the_value_are_there(tmp_path):
    outputs = execute(
        tmp_path,
        "%load_ext shmkit\nimport numpy as np",
        "%%to_hdf5 results.h5\nprint('hello')\nx, n = np.arange(3), 3\nx.sum()",
    )
    hello, table, told, value = outputs[1]
    assert hello.text == "hello\n"
    assert "<table" in table.data["text/html"]
    assert told.text == "Not saved: n (int; saved if named after the path)\n"
    assert value.data["text/plain"] == "np.int64(3)"
    assert saved(tmp_path / "results.h5") == {"x": [0, 1, 2]}


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "error"), [("results.h5 --compress", "UsageError"), ("results.h5", "ValueError")]
)
def test_in_a_kernel_every_error_ends_run_all(tmp_path, line, error):
    with pytest.raises(CellExecutionError) as caught:
        execute(tmp_path, "%load_ext shmkit", f"%%to_hdf5 {line}\nn = 3", "open('on', 'w')")
    assert caught.value.ename == error
    assert os.listdir(tmp_path) == []


def test_tables_that_a_cell_makes_are_saved(run):
    run("from shmkit import share")
    done = run(
        "%%to_hdf5 results.h5\nt = share({'x': [1, 2], 's': ['é', 'b']})\nwho = t['s']\nt.close()"
    )
    assert done.success
    with h5py.File("results.h5") as file:
        assert file["t/x"][:].tolist() == [1, 2]
        assert file["t/s"].asstr()[:].tolist() == file["who"].asstr()[:].tolist() == ["é", "b"]
