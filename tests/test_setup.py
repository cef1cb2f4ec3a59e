"""What is compiled is so on a free-threaded Python too, against an API of its own.

No such Python needs to be here: it has the headers of the other one, and says what it is by one
macro. What is compiled so does not run here, so it is not imported.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = """
import runpy, sysconfig
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1
runpy.run_path("setup.py", run_name="__main__")
"""


def test_what_is_compiled_for_a_free_threaded_python_has_no_limited_api(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-c", BUILD, "-q", "build_ext"),
            *("--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"),
        ],
        cwd=ROOT,
        env={**os.environ, "CPPFLAGS": "-DPy_GIL_DISABLED=1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # A failed compilation is no error to setuptools, as the modules are optional.
    compiled = {path.name for path in (tmp_path / "lib").rglob("*") if path.is_file()}
    ending = sysconfig.get_config_var("EXT_SUFFIX")  # of this Python alone
    assert {f"_parser{ending}", f"_shuffle{ending}"} <= compiled
    assert all(name.endswith(ending) for name in compiled)
