"""The ``%%to_hdf5`` cell magic: run the cell, then save the arrays that it assigns.

    %%to_hdf5 results.h5 ──▶ check line and path ──▶ run the cell ──▶ to_hdf5 ──▶ show the table
                              (nothing has run yet)   (raises: nothing is saved)

What is saved depends on the text of the cell alone, so that running it again saves the same: the
names that it assigns at its top level. A variable of a ``for`` or a ``with`` is a means, not a
result, and is left out.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import shlex
import types
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, magics_class, output_can_be_silenced
from IPython.display import display

from shmkit._arrays import SharedArrays
from shmkit._atomic import check_path
from shmkit.errors import SegmentGoneError
from shmkit.hdf5 import COMPRESSIONS, named_arrays, to_hdf5

__all__ = ["register"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%to_hdf5: {message}; %%to_hdf5? shows the options")


_parser = _Parser(
    prog="%%to_hdf5",
    allow_abbrev=False,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    description="""\
Run the cell, then save the arrays that it assigns as one HDF5 file.

Saved are numpy arrays, and mappings of arrays (as groups), whose names the
cell assigns at its top level; or the variables named after the path, older
ones too. Assignments inside functions and other magics are not seen: name
these variables.

Left out are names that begin with an underscore, and the variables of for
and with. The text of the cell becomes the attribute "cell" of the file. If
the cell raises, nothing is saved, and an existing file stays as it was.
""",
)
_parser.add_argument("path", help='the file; quote a path with spaces: "my results.h5"')
_parser.add_argument("names", nargs="*", metavar="name", help="save these variables, no others")
_parser.add_argument(
    "--compression",
    choices=[str(compression).lower() for compression in COMPRESSIONS],
    default="gzip",
    help="gzip (the default; any HDF5 reader has it), lzf (h5py only) or none",
)


def _without_placeholders(path: str) -> str:
    # IPython leaves {name} and $name as they are if it cannot evaluate them (ipython#8492).
    if path.startswith("$") or "{" in path or "}" in path:
        raise NameError(
            f"%%to_hdf5: the path is still {path!r}: IPython fills in {{name}} and $name only if "
            "every one of them can be evaluated, and knows no formats such as {x:.2f}"
        )
    return str(os.path.expanduser(path))


_OWN_NAMES = (  # whose names are their own
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


class _Assigned(ast.NodeVisitor):
    """The names that a cell assigns at its top level."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}  # an ordered set
        self.passing: dict[str, None] = {}  # variables of for and with

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.names[node.id] = None

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:  # ``x: int`` alone assigns nothing
            self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._pass(node.target)
        for child in (node.iter, *node.body, *node.orelse):
            self.visit(child)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self._pass(node.optional_vars)

    def _pass(self, target: ast.expr) -> None:
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.passing[node.id] = None

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, _OWN_NAMES):
            super().generic_visit(node)


def _run(shell: InteractiveShell, cell: str) -> tuple[Any, _Assigned]:
    """Run the cell in the user's namespace; its last value, and the names it assigns.

    An error goes through, so that it is shown once and ends a "Run All".
    """
    __tracebackhide__ = True  # the traceback shows the cell's lines, not this one
    # The magic's own line is line 1 of what the user sees.
    source = "\n" + shell.transform_cell(cell)  # type: ignore[no-untyped-call]
    name = shell.compile.cache(source, shell.execution_count, raw_code=cell)
    tree = shell.compile.ast_parse(source, name)
    assigned = _Assigned()
    assigned.visit(tree)
    tree = shell.transform_ast(tree)  # type: ignore[no-untyped-call]
    last: Any = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    exec(shell.compile(tree, name, "exec"), shell.user_ns)  # noqa: S102 - the user's own cell
    if last is None:
        return None, assigned
    value = eval(shell.compile(last, name, "eval"), shell.user_ns)  # noqa: S307 - as above
    return value, assigned


def _why_not(value: Any) -> str | None:
    """Why a value is not saved; None if it is."""
    if isinstance(value, np.ndarray):
        return None
    kind = type(value).__name__
    if isinstance(value, np.generic):
        return f"{kind}: is saved if you name it after the path"
    if isinstance(value, list | tuple):
        return f"{kind}: numpy.stack or numpy.asarray makes it an array"
    if not isinstance(value, Mapping | SharedArrays):
        return kind
    try:
        named_arrays(value)
    except TypeError:
        return f"{kind}: holds other things than arrays"
    except SegmentGoneError:
        return f"{kind}: is closed"
    except ValueError as error:
        return f"{kind}: {error}"
    return None


def _is_tool(value: Any) -> bool:
    """Whether a value is what nobody expects in a file: a module, a function, an open file."""
    return isinstance(value, types.ModuleType | types.FunctionType | type | io.IOBase | None)


def _assigned_arrays(
    assigned: _Assigned, variables: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The arrays to save, and what else was assigned, each with the reason."""
    arrays = {}
    left_out = []
    for name in {**assigned.names, **assigned.passing}:
        if name.startswith("_") or name not in variables:  # deleted again
            continue
        value = variables[name]
        why_not = _why_not(value)
        if name not in assigned.names:
            if why_not is None:
                left_out.append(f"{name} (a variable of for or with)")
        elif why_not is None:
            arrays[name] = value
        elif not _is_tool(value):
            left_out.append(f"{name} ({why_not})")
    return arrays, left_out


def _not_saved(left_out: Sequence[str]) -> str:
    return f"Not saved: {', '.join(left_out)}" if left_out else ""


def _named(names: Sequence[str], variables: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in names if name not in variables]
    if missing:
        raise NameError(
            f"%%to_hdf5: nothing was saved, as there is no variable {', '.join(missing)} after "
            "the cell has run"
        )
    return {name: variables[name] for name in names}


@magics_class
class _HDF5Magics(Magics):
    @output_can_be_silenced
    @cell_magic
    def to_hdf5(self, line: str, cell: str) -> Any:
        __tracebackhide__ = True  # a traceback shows the cell, or what failed in to_hdf5
        try:
            words = shlex.split(line)
        except ValueError as error:
            _parser.error(f"{error} in {line!r}")
        if "-h" in words or "--help" in words:
            print(_parser.format_help())  # noqa: T201 - what was asked for
            return None
        options = _parser.parse_intermixed_args(words)
        path = check_path(_without_placeholders(options.path))
        for name in options.names:
            if not name.isidentifier():  # before an hour of work, not after it
                _parser.error(f"{name!r} is no name of a variable")
        assert self.shell is not None
        value, assigned = _run(self.shell, cell)
        variables = self.shell.user_ns
        left_out: list[str] = []
        if options.names:
            arrays = _named(options.names, variables)
        else:
            arrays, left_out = _assigned_arrays(assigned, variables)
        if not arrays:
            raise ValueError(
                f"{path} was not written: the cell has run, but assigned no arrays at its top "
                "level; name the variables to save after the path. " + _not_saved(left_out)
            )
        compression = None if options.compression == "none" else options.compression
        export = to_hdf5(path, arrays, compression=compression, attrs={"cell": cell})
        display(export)  # type: ignore[no-untyped-call]
        if left_out:
            print(_not_saved(left_out))  # noqa: T201 - one line of text under the table
        return value

    to_hdf5.__doc__ = _parser.format_help()  # what %%to_hdf5? shows


def register(shell: InteractiveShell) -> None:
    """Make the magic known to a shell; a second time is fine."""
    shell.register_magics(_HDF5Magics)
