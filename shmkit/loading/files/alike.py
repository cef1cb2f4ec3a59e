"""Files of a load with the same columns: one guess of their types serves all, and holds for all.

    first small file ──probe──▶ plan ──▶ the other small ones, each taking it if it looks alike
    all files of a key ──▶ what each has seen ──▶ one type for each column, in all of them

Before the files are read, the plans of the large ones agree. When they are read, some may have
belied their plan; then those with the same columns are read again if a type is another one now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

from shmkit.loading.file import LoadingFile
from shmkit.readers.base import Plan

__all__ = ["agree"]


def agree(files: Iterable[LoadingFile]) -> list[LoadingFile]:
    """Give files with the same columns plans that agree; those whose types changed by it."""
    groups: defaultdict[Hashable, list[LoadingFile]] = defaultdict(list)
    for file in files:
        if file.plan is not None and file.plan.key is not None:
            groups[file.plan.key].append(file)
    changed = []
    for group in groups.values():
        plans = {id(file.plan): file.plan for file in group if file.plan is not None}
        if len(plans) == 1:
            continue
        agreed: dict[int, Plan] = {}
        for number, plan in plans.items():
            agreed[number] = plan.agreed(list(plans.values()))
        for file in group:
            assert file.plan is not None
            plan, file.plan = file.plan, agreed[id(file.plan)]
            if not plan.same_types(file.plan):
                changed.append(file)
    return changed
