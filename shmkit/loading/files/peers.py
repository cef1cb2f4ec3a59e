"""What a load settles with the loads of the same call on other nodes; alone, it does at once.

    this node's load   probe ──▶ plans ──▶ room ──▶ read ──▶ plans ──▶ codes ──▶ views
                                   ▲         ▲        ▲        │ ▲        ▲
    all loads of the call          │         │        └─again──┘ │        └ one code for a text
                                   │         └ all fit, or none  └ one type for each column
                                   └ one type for each column

All ask in the same order, and as often: a load whose files need not be read again asks with those
of the others until none is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from shmkit._categories import coded
from shmkit.readers.base import Plan

__all__ = ["Agreed", "Alone", "Codes", "Found", "Peers", "agreed_codes"]

Codes = Mapping[str, Mapping[str, int]]  # of texts, by field
# By name of the file: of each piece of it, the texts by field, in the order of first appearance.
Found = Mapping[str, Sequence[Mapping[str, list[str]]]]


class Agreed(NamedTuple):
    """The codes of all categories, and why those of some files cannot be."""

    codes: Codes
    failures: Mapping[str, str]


class Peers(Protocol):
    """The loads of the same call on other nodes."""

    def plans(self, own: Sequence[Plan]) -> Sequence[Plan]:
        """The plans of files on other nodes whose types are inferred; `own` are those here."""

    def room(self, need: int) -> None:
        """Go on when all have room; this one needs so many bytes. Raises what ends the load."""

    def codes(self, found: Found) -> Agreed:
        """The codes that texts have on every node; `found` is what this node has read."""


class Alone:
    """No other node has a part in the load."""

    def plans(self, own: Sequence[Plan]) -> Sequence[Plan]:
        """None."""
        del own
        return ()

    def room(self, need: int) -> None:
        """Go on: where there is no room, `choose_backing` says so."""

    def codes(self, found: Found) -> Agreed:
        """The codes of what was found here."""
        return agreed_codes(found)


def agreed_codes(found: Found) -> Agreed:
    """The codes of categories, in the order of first appearance over the files, as they are given.

    >>> agreed_codes({"a": [{"chr": ["chr2"]}], "b": [{"chr": ["chr1", "chr2"]}]}).codes
    {'chr': {'chr2': 0, 'chr1': 1}}
    """
    # HDF5 has no empty name; as the first of several it is in the file too, as a gap.
    pieces = [piece for of_file in found.values() for piece in of_file]
    codes: Codes = {
        field: {"": 0} for piece in pieces for field, texts in piece.items() if "" in texts
    }
    failures = {}
    for name, of_file in found.items():
        try:
            codes = coded(codes, of_file)
        except ValueError as error:
            failures[name] = str(error)
    return Agreed(codes, failures)
