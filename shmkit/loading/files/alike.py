"""Files of a load with the same columns: one guess of their types serves all, and holds for all.

    first small file ──probe──▶ plan ──▶ the other small ones, each taking it if it looks alike
    all files of a key ──▶ what each has seen ──▶ one type for each column, in all of them

Before the files are read, the plans of the large ones agree. When they are read, some may have
belied their plan; then those with the same columns are read again if a type is another one now.
Files that peers load on other nodes count as those here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

from shmkit.loading.file import LoadingFile
from shmkit.loading.files.peers import Peers
from shmkit.readers.base import Plan

__all__ = ["agree"]


def agree(files: Iterable[LoadingFile], peers: Peers) -> tuple[set[LoadingFile], bool]:
    """Give files with the same columns plans that agree.

    Gives the files whose types changed by it, and whether those of any file did, be it of a peer.
    """
    groups: defaultdict[Hashable, list[LoadingFile]] = defaultdict(list)
    own: defaultdict[Hashable, dict[int, Plan]] = defaultdict(dict)
    for file in files:
        if file.plan is not None and file.plan.key is not None:
            groups[file.plan.key].append(file)
            own[file.plan.key][id(file.plan)] = file.plan
    others: defaultdict[Hashable, list[Plan]] = defaultdict(list)
    for plan in peers.plans([plan for plans in own.values() for plan in plans.values()]):
        others[plan.key].append(plan)
    changed, elsewhere = set[LoadingFile](), False
    for key in own.keys() | others.keys():
        known = [*own[key].values(), *others[key]]
        if len(known) == 1:
            continue
        agreed = {number: plan.agreed(known) for number, plan in own[key].items()}
        for file in groups[key]:
            assert file.plan is not None
            plan, file.plan = file.plan, agreed[id(file.plan)]
            if not plan.same_types(file.plan):
                changed.add(file)
        elsewhere |= any(not plan.same_types(plan.agreed(known)) for plan in others[key])
    return changed, elsewhere or bool(changed)
