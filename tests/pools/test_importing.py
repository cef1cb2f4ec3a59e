"""To act when a module is imported, without importing it."""


def test_nobodys_package_is_imported_for_it(run_script):
    done = run_script(
        "import sys, shmkit\n"
        "a = shmkit.share([1, 2])\n"
        "names = 'multiprocessing', 'joblib', 'loky', 'cloudpickle'\n"
        "print([name for name in names if name in sys.modules])\n"
        "import multiprocessing.reduction, joblib, inspect\n"
        "print(len(multiprocessing.reduction.ForkingPickler.dumps(a)) < 400)\n"
        "print(joblib.parallel.BACKENDS['loky'] is not joblib.parallel.LokyBackend)\n"
        "print(joblib.parallel.__spec__.loader is joblib.parallel.__loader__, \n"
        "    inspect.getsource(joblib.parallel)[:3])\n"
    )
    assert done.stdout.splitlines() == ["[]", "True", "True", 'True """']


def test_it_acts_once_when_the_module_has_run(run_script, tmp_path):
    (tmp_path / "late.py").write_text("value = 1\n")
    done = run_script(
        "import importlib, sys\n"
        "from shmkit.pools.importing import when_imported\n"
        "when_imported('late', lambda module: print('first', module.value))\n"
        "when_imported('late', lambda module: print('second', module.value))\n"
        "when_imported('colorsys', lambda module: print('never'))\n"
        "before = list(sys.meta_path)\n"
        "print('late' in sys.modules)\n"
        "import late\n"
        "print(late.__spec__.loader is late.__loader__, len(before) - len(sys.meta_path))\n"
        "importlib.reload(late)\n"
        "when_imported('late', lambda module: print('at once', module.value))\n"
    )
    assert done.stdout.splitlines() == ["False", "first 1", "second 1", "True 2", "at once 1"]


def test_what_is_not_installed_may_come_later(run_script):
    done = run_script(
        "import importlib, pathlib\n"
        "from shmkit.pools.importing import when_imported\n"
        "when_imported('late', lambda module: print('imported'))\n"
        "try:\n"
        "    import late\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
        "pathlib.Path('late.py').touch()\n"
        "importlib.invalidate_caches()\n"
        "import late\n"
    )
    assert done.stdout.splitlines() == ["No module named 'late'", "imported"]


def test_a_module_that_fails_is_waited_for_no_more(run_script, tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0\n")
    done = run_script(
        "from shmkit.pools.importing import when_imported\n"
        "when_imported('broken', lambda module: print('never'))\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        import broken\n"
        "    except ZeroDivisionError as error:\n"
        "        print(error)\n"
    )
    assert done.stdout.splitlines() == ["division by zero"] * 2
