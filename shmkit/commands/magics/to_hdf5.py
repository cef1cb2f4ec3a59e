"""The ``%%to_hdf5`` cell magic: run the cell, then save the arrays that it assigns.

    %%to_hdf5 results.h5 ──▶ check the line ──▶ run the cell ──▶ choose ──▶ to_hdf5 ──▶ table
                             (nothing has run)   (raises: nothing is saved)

1. The line is parsed and checked, with the path. A mistake is an error before the cell runs.
2. `cells.run_cell` runs the cell, and notes which of its assignments ran.
3. The arrays that these bind or change are saved, or those that the line names. So a reader of the
   cell can tell what is saved. What else it has bound is listed below the table, with the reason.
4. The cell's text goes with them, as an attribute.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import io
import re
import shlex
import types
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, magics_class, output_can_be_silenced
from IPython.core.magic_arguments import MagicArgumentParser
from IPython.display import display

from shmkit._api.to_hdf5 import to_hdf5
from shmkit._format import counted, nbytes_text
from shmkit._html import Table
from shmkit.commands.magics.cells import Ran, run_cell
from shmkit.commands.options import add_no_progress, add_options, as_typed, settings_of
from shmkit.errors import SegmentGoneError
from shmkit.hdf5.contents.datasets import Arrays, contents, is_array, named_values
from shmkit.hdf5.contents.values import is_listed
from shmkit.hdf5.export import COLUMNS, row
from shmkit.hdf5.settings import Layout, Mode, plugins
from shmkit.hdf5.storage.place import check_path
from shmkit.hdf5.writer import check_group
from shmkit.views.arrays import SharedArrays

__all__ = ["register", "unregister"]

_MAGIC = "%%to_hdf5"
_DESCRIPTION = """\
Run the cell, then save the arrays that it assigns as one HDF5 file.

  %%to_hdf5 results_{run}.h5 --compression lzf
  means = np.array([a["pct"].mean() for a in arrays])

Saved is what an assignment of the cell itself binds or changes:

  x = ...    x, y = ...    (x := ...)    x += ...    x[0] = ...

if it is a numpy array, a data frame or Dataset of pandas, polars or xarray,
or a mapping of these, which becomes a group; what shared_load returns is one
too. Names that begin with an underscore are not
saved, nor is the value of the last expression.

Told below the table with the reason, and not saved: other values, such as
numbers, texts and lists, which are saved if named, and arrays that were bound
otherwise: by for, with, import, a function or another magic. Not seen: what
functions and methods change in place, such as np.add(x, 1, out=x) and
x.sort(); save such arrays by naming them after the path.

If the cell raises, or is interrupted, or the export is, an existing file
stays as it was. The file, or the group, has the cell's text as the attribute
"cell". A mistake in the line is an error before the cell runs.
"""


def _new_parser() -> argparse.ArgumentParser:
    parser = MagicArgumentParser(
        _MAGIC,
        usage="%(prog)s PATH [NAME ...] [OPTION ...]",
        description=_DESCRIPTION,
        formatter_class=functools.partial(argparse.RawDescriptionHelpFormatter, width=80),
        argument_default=argparse.SUPPRESS,  # what is not given is for to_hdf5 to say
    )
    parser.allow_abbrev = False  # --comp would become ambiguous with the next option
    parser.add_argument(
        "path",
        metavar="PATH",
        help="the file; {name} and $name stand for the value of a variable; quote a path with "
        'spaces: "my results.h5"',
    )
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        default=[],
        help="save these variables instead, older ones too; mean_* stands for all arrays with "
        "such a name, _ for the value of the cell's last expression",
    )
    add_options(parser)
    shown = parser.add_argument_group("what is shown")
    dry = "run the cell and show what would be saved, but write nothing"
    shown.add_argument("--dry-run", action="store_true", default=False, help=dry)
    add_no_progress(shown)
    shown.add_argument("-h", "--help", action="store_true", help="show this, and run nothing")
    return parser


_parser = _new_parser()


@magics_class
class _HDF5Magics(Magics):
    @output_can_be_silenced
    @cell_magic
    def to_hdf5(self, line: str, cell: str) -> Any:
        __tracebackhide__ = True  # a traceback shows the cell, or what failed in to_hdf5
        if {"-h", "--help"} & set(line.split()):
            print(_parser.format_help())  # noqa: T201 - what was asked for
            return None
        assert self.shell is not None
        path, names, dry_run, options = _parse(line, self.shell.user_ns)
        options["attrs"] = {"cell": cell, **dict(options.get("attrs", ()))}
        ran = run_cell(self.shell, cell)
        if names:
            arrays, left_out = _named(names, ran, self.shell)
        else:
            arrays, left_out = _assigned(ran, _variables(self.shell))
        if not arrays:
            raise ValueError(
                f"{path} was not written: the cell has run, but assigned no arrays; name the "
                "variables to save after the path, or _ for the value of its last expression. "
                + _not_saved(left_out)
            )
        if dry_run:
            _show_plan(path, arrays, options)
        else:
            display(to_hdf5(path, arrays, **options))
        if left_out:
            print(_not_saved(left_out))  # noqa: T201 - text under the table
        return ran.values[0] if ran.values else None


_HDF5Magics.to_hdf5.__doc__ = _parser.format_help()  # what %%to_hdf5? shows


_VARIABLE = re.compile(r"\$([^\W\d]\w*)|\{([^\W\d]\w*)\}")


def _value_of(found: re.Match[str], variables: Mapping[str, Any]) -> str:
    """The value of a variable, or its name as it was if there is none."""
    return str(variables.get(found[1] or found[2], found[0]))


def _parse(line: str, variables: Mapping[str, Any]) -> tuple[str, list[str], bool, dict[str, Any]]:
    """The path, the names, whether nothing is to be written, and the options of `to_hdf5`."""
    __tracebackhide__ = True
    # IPython leaves {name} and $name as they are if it cannot evaluate them (ipython#8492): of
    # $run.h5 it takes the dot for an attribute's.
    line = _VARIABLE.sub(lambda found: _value_of(found, variables), line)
    if "{" in line or "}" in line or _VARIABLE.search(line):
        raise NameError(
            f"{_MAGIC}: the line is still {line!r}: IPython fills in {{name}} and $name only if "
            "every one of them can be evaluated, and knows no formats such as {x:.2f}"
        )
    try:
        # magic_arguments' own parse_argstring leaves quotes in the path.
        options = vars(_parser.parse_intermixed_args(shlex.split(line)))
        path, names, dry_run = (options.pop(key) for key in ("path", "names", "dry_run"))
        for name in names:
            if not re.sub(r"\[.+?\]|[*?]", "_", name).isidentifier():
                raise ValueError(f"{name!r} is no name of a variable")
        settings = settings_of(options)
    except (UsageError, ValueError) as error:
        raise UsageError(f"{_MAGIC}: {as_typed(str(error))}; {_MAGIC}? shows the options") from None
    path = check_path(path, settings.mode, beside_readers=settings.concat)
    if settings.mode == "a":
        check_group(path, settings.group)
    return path, names, dry_run, options


_LeftOut = list[tuple[str, str]]  # names and reasons


def _assigned(ran: Ran, variables: Mapping[str, Any]) -> tuple[dict[str, Any], _LeftOut]:
    """The arrays that the cell assigned, and what else it bound."""
    arrays, left_out = _sorted_out(ran.assigned, variables)
    others, _ = _sorted_out(ran.others, variables)
    reason = "not assigned by the cell itself; saved if named after the path"
    return arrays, left_out + [(variable, reason) for variable in others]


def _named(
    words: Iterable[str], ran: Ran, shell: InteractiveShell
) -> tuple[dict[str, Any], _LeftOut]:
    """The variables that were named, and what is no array though its name fits."""
    arrays: dict[str, Any] = {}
    left_out: _LeftOut = []
    missing = []
    for word in words:
        if word == "_":
            found = dict.fromkeys(["_"], *ran.values) if ran.values else {}
        elif word.isidentifier():
            found = {word: shell.user_ns[word]} if word in shell.user_ns else {}
        else:
            variables = _variables(shell)
            found, more = _sorted_out(fnmatch.filter(variables, word), variables)
            left_out += more
        if not found:
            what = "value of a last expression" if word == "_" else "variable"
            missing.append(f"no {what} {word}")
        arrays |= found
    if missing:
        raise NameError(
            f"{_MAGIC}: nothing was saved: after the cell has run there is {', '.join(missing)}. "
            + _not_saved(left_out)
        )
    return arrays, left_out


def _variables(shell: InteractiveShell) -> dict[str, Any]:
    """The user's variables, without those of IPython and those that begin with an underscore."""
    hidden = shell.user_ns_hidden
    return {
        variable: value
        for variable, value in shell.user_ns.items()
        if not (variable.startswith("_") or (variable in hidden and value is hidden[variable]))
    }


def _sorted_out(
    names: Iterable[str], variables: Mapping[str, Any]
) -> tuple[dict[str, Any], _LeftOut]:
    """The arrays among some variables, and what else they are."""
    arrays = {}
    left_out = []
    for variable in names:
        if variable in variables:
            value = variables[variable]
            if (why_not := _why_not(value)) is None:
                arrays[variable] = value
            elif not (callable(value) or isinstance(value, _TOOLS)):
                left_out.append((variable, why_not))
    return arrays, left_out


# What nobody expects in a file, besides functions and classes.
_TOOLS = (types.ModuleType, io.IOBase, types.NoneType)


def _why_not(value: Any) -> str | None:
    """Why a value is not saved; None if it is."""
    kind = type(value).__name__
    if is_listed(value):
        return f"{kind}; saved if named after the path"
    if isinstance(value, list | tuple):
        return f"{kind}; numpy.stack makes an array of it"
    if isinstance(value, Mapping | SharedArrays):
        try:
            named_values(value)
        except TypeError:
            return f"{kind}; holds other things than arrays"
        except SegmentGoneError:
            return f"{kind}; is closed"
        except ValueError as error:
            return f"{kind}; {error}"
        return None if is_array(value) else f"{kind}; saved if named after the path"
    if is_array(value):
        return None
    if hasattr(value, "__array__"):
        return f"{kind}; numpy.asarray makes it an array"
    return kind


def _not_saved(left_out: _LeftOut) -> str:
    names: dict[str, list[str]] = {}
    for variable, reason in left_out:
        names.setdefault(reason, []).append(variable)
    told = [f"{', '.join(names)} ({reason})" for reason, names in names.items()]
    return "Not saved: " + "\n           ".join(told) if told else ""


def _show_plan(path: str, arrays: Arrays, options: Mapping[str, Any]) -> None:
    """Check all that `to_hdf5` checks before it writes, and display what it would write."""
    settings = settings_of(options)
    found = contents(arrays, layout=settings.layout, concat=settings.concat).datasets
    settings.check(found)
    group = settings.group.strip("/")
    rows = [row(f"{group}/{name}".lstrip("/"), source) for name, source in found.items()]
    nbytes = nbytes_text(sum(source.nbytes for source in found.values()))
    summary = f"{counted(len(rows), 'dataset', 'datasets')} · {nbytes} in memory"
    summary += " · nothing was written, as this is a dry run"
    table = Table(path, summary, COLUMNS, rows)
    display({"text/plain": str(table), "text/html": table.html}, raw=True)


# A hook on complete_command would leave Jedi's 200 names of Python among the options.
@context_matcher()
def _complete(context: CompletionContext) -> SimpleMatcherResult:
    """What can follow on the magic's line: options, and the values of those that have few.

    For the path and the names IPython's own completion is as good: files, variables.
    """
    magic, *words = context.text_until_cursor.removesuffix(context.token).split() or [""]
    if magic != _MAGIC:
        return {"completions": []}
    known: Iterable[str] = ()
    if context.token.startswith("-"):
        known = sorted(set(re.findall(r"--\w[\w-]*", _parser.format_help())))
    elif words[-1:] == ["--compression"]:
        known = ["gzip", "lzf", "none", *plugins()]
    elif words:
        known = {"--mode": get_args(Mode), "--layout": get_args(Layout)}.get(words[-1], ())
    fitting = [SimpleCompletion(word) for word in known if word.startswith(context.token)]
    return {"completions": fitting, "suppress": True}


def register(shell: InteractiveShell) -> None:
    """Make the magic and its completion known to a shell; a second time is fine."""
    unregister(shell)
    shell.register_magics(_HDF5Magics)
    shell.Completer.custom_matchers.append(_complete)


def unregister(shell: InteractiveShell) -> None:
    """Undo `register`."""
    shell.magics_manager.magics["cell"].pop("to_hdf5", None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if matcher is not _complete]
