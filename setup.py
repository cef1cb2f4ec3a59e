"""The compiled text parser; everything else about the package is in pyproject.toml."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "shmkit.readers._parser",
            ["shmkit/readers/_parser.cpp"],
            depends=[f"shmkit/readers/_parser{part}.hpp" for part in ("", "_names", "_numbers")],
            extra_compile_args=["-std=c++17", "-O3", "-fvisibility=hidden"],
            language="c++",
            py_limited_api=True,
            optional=True,  # np.loadtxt does its work where it cannot be compiled
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
