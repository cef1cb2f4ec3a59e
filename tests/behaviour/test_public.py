"""What `import shmkit` gives, and what it does not load."""

import inspect
import pickle

import pytest

import shmkit
from shmkit import errors


def test_every_public_name_is_there_and_documented():
    for name in shmkit.__all__:
        assert inspect.getdoc(getattr(shmkit, name)), name
    assert set(shmkit.__all__) <= set(dir(shmkit))


def test_no_other_name_is_public():
    with pytest.raises(AttributeError, match="no attribute 'load'"):
        _ = shmkit.load


def test_import_is_light(run_script):
    late = ["IPython", "ipywidgets", "matplotlib", "h5py", "tqdm", "pandas", "asyncio", "backports"]
    done = run_script(
        "import sys, threading\n"
        "from shmkit import shared_load\n"
        f"print([name for name in {late!r} if name in sys.modules], threading.active_count())\n"
    )
    assert (done.stdout, done.stderr) == ("[] 1\n", "")


def test_without_ipywidgets_the_core_works_and_says_nothing(run_script, calls):
    done = run_script(
        "import sys\n"
        "sys.modules['ipywidgets'] = sys.modules['tqdm'] = sys.modules['IPython'] = None\n"
        "from shmkit import shared_load\n"
        f"print(len(shared_load({str(calls)!r})[0]))\n"
        "try:\n"
        "    from shmkit import panel\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    needs = "shmkit.panel needs ipywidgets: pip install 'shmkit[jupyter]'"
    assert (done.stdout, done.stderr) == (f"2\n{needs}\n", "")


def test_on_windows_the_import_says_what_to_do(run_script):
    done = run_script("import sys\nsys.platform = 'win32'\nimport shmkit\n", check=False)
    assert "ImportError: shmkit works on Linux only" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        errors.LoadError("x.txt", 3, 2, "why"),
        errors.LoadError("x.txt", None, None, "why"),
        errors.LoaderDiedError("x.txt", -9),
        errors.LoaderDiedError("x.txt", 3),
        errors.LoaderDiedError("x.txt", -64),
        errors.NotEnoughMemoryError(3, 2, 1, "/dev/shm"),
        errors.SegmentError("x.npy", "why"),
        errors.SegmentGoneError("x.npy", "why"),
        errors.SegmentExistsError("x.npy", "why"),
        errors.TooManySegmentsError(1024, "RLIMIT_NOFILE"),
    ],
)
def test_errors_survive_pickling(error):
    error.add_note("a note")
    got = pickle.loads(pickle.dumps(error))
    assert (type(got), str(got), got.__dict__) == (type(error), str(error), error.__dict__)
    assert isinstance(got, shmkit.ShmkitError)
