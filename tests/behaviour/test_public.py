"""What `import shmkit` gives, and what it does not load."""

import inspect

import pytest

import shmkit


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
    needs = "shmkit.panel needs IPython: pip install 'shmkit[jupyter]'"
    assert (done.stdout, done.stderr) == (f"2\n{needs}\n", "")


def test_on_windows_the_import_says_what_to_do(run_script):
    done = run_script("import sys\nsys.platform = 'win32'\nimport shmkit\n", check=False)
    assert "ImportError: shmkit works on Linux only" in done.stderr
