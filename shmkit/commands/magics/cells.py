"""Run the text of a notebook's cell, and learn which names it assigned.

    a[0] = x = f()  ──parse──▶  a[0] = x = noted(f(), ("a", "x"))  ──run──▶  a, x; the last value

Each assignment of the cell itself tells that it has run. The text alone does not say so
(``if False: x = 1``), nor do the objects: ``total += 1`` changes one in place. What functions,
comprehensions, loop headers, imports and other magics bind is seen only as a name that has another
object now.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import re
import types
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Ran", "run_cell"]

_Value = TypeVar("_Value")
_SCOPES = (  # what these assign is no variable of the cell
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


class Ran(NamedTuple):
    """What a cell did.

    Attributes
    ----------
    values : list
        The value of the expression that it ends in; empty if it ends in none.
    assigned : list of str
        The names that its own assignments gave a value, or changed an item or attribute of; some
        may be deleted again.
    others : list of str
        The variables that were bound otherwise, or by an assignment that did not run.
    """

    values: list[Any]
    assigned: list[str]
    others: list[str]


def run_cell(shell: InteractiveShell, cell: str) -> Ran:
    """Run the cell in the user's namespace.

    An error goes through, so that it is shown once and ends a "Run All"; `shell.run_cell` would
    show it twice.
    """
    __tracebackhide__ = True  # the traceback shows the cell's lines, not these
    variables = shell.user_ns
    ran: dict[tuple[str, ...], None] = {}  # an ordered set: the names of each assignment that ran

    def noted(value: _Value, names: tuple[str, ...]) -> _Value:
        ran[names] = None
        return value

    function = f"%%to_hdf5 {id(ran)}"  # no cell can have such a name; cells may nest
    body, last, names = _compiled(shell, cell, function)
    before = {variable: (id(value), _weak(value)) for variable, value in variables.items()}
    vars(builtins)[function] = noted  # not among the variables: %reset would remove it
    try:
        exec(body, variables)  # noqa: S102 - the user's own cell
        values = [] if last is None else [eval(last, variables)]  # noqa: S307 - as above
    finally:
        del vars(builtins)[function]
    assigned = dict.fromkeys(itertools.chain(*ran))
    others = []
    for variable, value in variables.items():
        number, old = before.get(variable, (0, None))
        # An id alone does not tell: a new object often lies where the one it replaces has lain.
        is_other = number != id(value) or (old is not None and old() is None)
        if variable not in assigned and (variable in names or is_other):
            others.append(variable)
    return Ran(values, list(assigned), others)


def _weak(value: Any) -> weakref.ref[Any] | None:
    """A reference that keeps no memory: the cell may replace a large array."""
    try:
        return weakref.ref(value)
    except TypeError:
        return None


def _compiled(
    shell: InteractiveShell, cell: str, function: str
) -> tuple[types.CodeType, types.CodeType | None, set[str]]:
    """The cell, the expression that it ends in, and all names in its own assignments."""
    __tracebackhide__ = True
    # For the user the magic's line is line 1, so that the cell begins on line 2.
    source = "\n" + shell.transform_cell(cell)
    filename = shell.compile.cache(source, shell.execution_count, raw_code=cell)
    noting = _Noting(function)
    last = None
    try:
        tree = noting.visit(shell.compile.ast_parse(source, filename))
        tree = shell.transform_ast(tree)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            expression: Any = ast.Expression(tree.body.pop().value)
            last = shell.compile(expression, filename, "eval")
        return shell.compile(tree, filename, "exec"), last, noting.names
    except SyntaxError as error:
        if re.search("async|await", error.msg):  # allowed in any other cell
            error.msg += (
                " (a cell under %%to_hdf5 cannot wait: do that in a cell before, and name the "
                "variables after the path)"
            )
        raise error.with_traceback(None) from None  # their frames are IPython's and ast's


class _Noting(ast.NodeTransformer):
    """Has each assignment at the cell's top level call a function with its value and its names."""

    def __init__(self, function: str) -> None:
        self.names: set[str] = set()
        self._function = function

    def _note(self, node: Any) -> Any:
        self.generic_visit(node)
        names: Any = tuple(_names(node))
        self.names.update(names)
        if node.value is not None:  # ``x: int`` alone assigns nothing
            called = ast.Name(self._function, ast.Load())
            call = ast.Call(called, [node.value, ast.Constant(names)], [])
            node.value = ast.fix_missing_locations(ast.copy_location(call, node.value))
        return node

    visit_Assign = visit_AugAssign = visit_AnnAssign = visit_NamedExpr = _note  # noqa: N815 - ast's

    def generic_visit(self, node: ast.AST) -> ast.AST:
        return node if isinstance(node, _SCOPES) else super().generic_visit(node)


def _names(node: Any) -> Iterator[str]:
    """The variables that an assignment binds, or changes: ``a`` for ``a.x[0] = 1``."""
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        for part in ast.walk(target):
            if isinstance(getattr(part, "ctx", None), ast.Store):
                owner: Any = part
                while isinstance(owner, ast.Attribute | ast.Subscript | ast.Starred):
                    owner = owner.value
                if isinstance(owner, ast.Name):
                    yield owner.id
