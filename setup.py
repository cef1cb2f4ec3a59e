"""The compiled modules; everything else about the package is in pyproject.toml."""

import glob
import platform
import sysconfig

from setuptools import Extension, setup

TEXT = "shmkit/readers/text/parser"
HEADERS = sorted(glob.glob(f"{TEXT}/*.hpp"))
# One binary serves every Python from 3.11 on, but for free-threaded ones: they have no limited API.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")
AVX2 = ["-mavx2", "-mbmi", "-mbmi2", "-mlzcnt", "-mpopcnt", "-mpclmul"]
AVX512 = [f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "cd", "vbmi", "vbmi2")]
NO_FMA = ["-ffp-contract=off"]  # it rounds once where two roundings are wanted


def parser(name: str, sources: list[str], flags: list[str]) -> Extension:
    """One of the modules that hold the parser."""
    return Extension(
        f"shmkit.readers.text.parser.{name}",
        [f"{TEXT}/{name}.cpp"],
        depends=[*HEADERS, *sources],
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if LIMITED_API else [],
        extra_compile_args=["-std=c++17", "-O3", "-fvisibility=hidden", *NO_FMA, *flags],
        language="c++",
        py_limited_api=LIMITED_API,
        optional=True,  # np.loadtxt does its work where it cannot be compiled
    )


def shuffle() -> Extension:
    """The module that does HDF5's shuffle."""
    return Extension(
        "shmkit.hdf5.compression._shuffle",
        ["shmkit/hdf5/compression/_shuffle.cpp"],
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if LIMITED_API else [],
        extra_compile_args=["-std=c++17", "-O3", "-fvisibility=hidden"],
        language="c++",
        py_limited_api=LIMITED_API,
        optional=True,  # numpy does its work where it cannot be compiled
    )


modules = [shuffle(), parser("_parser", [], [])]
if platform.machine() in ("x86_64", "AMD64"):
    modules.append(parser("_parser_avx2", [f"{TEXT}/_parser.cpp"], [*AVX2, "-mtune=haswell"]))
    modules.append(
        parser("_parser_avx512", [f"{TEXT}/_parser.cpp"], [*AVX2, *AVX512, "-mtune=icelake-server"])
    )
setup(
    ext_modules=modules,
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
