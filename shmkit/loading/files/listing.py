"""What a load has to read: a file each, and of a file with several datasets each of these.

path, format ──▶ LoadingFile
path of HDF5 ──▶ a loader process lists its datasets ──▶ a LoadingFile for each that is meant
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shmkit.loaders.loader import Task
from shmkit.loaders.pickling import pickled_opener, users_modules
from shmkit.loaders.pool import LoaderPool
from shmkit.loaders.process import Died
from shmkit.loading import tasks
from shmkit.loading.file import LoadingFile
from shmkit.loading.files.inputs import Input
from shmkit.readers.base import Version
from shmkit.readers.choose import Opener, opener
from shmkit.readers.formats import Format
from shmkit.readers.names import Listed

__all__ = ["to_load"]


def to_load(
    files: Mapping[str, Input],
    reader: Callable[[str], Any] | None,
    options: Mapping[str, Any],
    pool: LoaderPool,
    *,
    prefix: bool,
) -> tuple[dict[str, LoadingFile], list[tuple[LoadingFile, Any]]]:
    """The files to be loaded, by all of their names, and what failed already.

    Each dataset of a file that has some is a file here, and has several names if links lead to it.
    """
    formats = [file.form for file in files.values()]
    openers = {form: opener(form, reader, options) for form in dict.fromkeys(formats)}
    pickled = {form: pickled_opener(openers[form]) for form in openers}
    if not all(one.plain for one in pickled.values()):
        pool.renew(users_modules())
    found = [
        LoadingFile(
            name,
            file.path,
            file.nbytes,
            file.opened,
            openers[file.form].options,
            pickled[file.form],
            may_be_probed=file.form is not Format.CUSTOM,
            guessed=openers[file.form].guesses,
            form=file.form,
        )
        for name, file in files.items()
    ]
    missing = zip(found, files.values(), strict=True)
    failed: list[tuple[LoadingFile, Any]] = [(f, file.error) for f, file in missing if file.error]
    with_datasets = [n for n, form in enumerate(formats) if form.has_datasets]
    patterns = options.get("dataset", ["*"])
    listing = [
        Task(tasks.datasets, (found[n].path, found[n].opened, formats[n], patterns))
        for n in with_datasets
    ]
    listed = {
        with_datasets[index]: outcome
        for index, outcome in pool.run(listing, lambda: None, lambda _: True)
    }
    by_name: dict[str, LoadingFile] = {}
    for number, file in enumerate(found):
        if isinstance(outcome := listed.get(number, []), Exception | Died):
            failed.append((file, outcome))
        if number not in listed or isinstance(outcome, Exception | Died):
            by_name[file.name] = file
        else:
            # Without prefix there is one file, and no two datasets of it have one name.
            by_name |= _datasets(file, openers[formats[number]], *outcome, prefix=prefix)
    if isinstance(select := options.get("select"), Mapping) and not failed:
        there = [name for outcome in listed.values() for one in outcome[0] for name in one.names]
        if unknown := [name for name in select if name not in there]:
            raise ValueError(
                f"select= has {unknown[0]!r}, which is none of {', '.join(there[:20])}"
            )
    return by_name, failed


def _datasets(
    file: LoadingFile,
    opener: Opener,
    found: Sequence[Listed],
    version: Version,
    *,
    prefix: bool,
) -> dict[str, LoadingFile]:
    """The datasets of a file, by all names of each, in the order of the names."""
    by_dataset: dict[str, LoadingFile] = {}
    shared = dict(opener.options)
    shared.pop("dataset", None)
    select = shared.get("select")
    if isinstance(select, Mapping):
        del shared["select"]
    pickled = pickled_opener(opener._replace(options=shared))
    for names, nbytes, loaded_nbytes, alone, kind in found:
        own: dict[str, Any] = {"dataset": names[0]}
        if isinstance(select, Mapping):
            parts = [select[name] for name in names if name in select]
            own |= {"select": parts[0]} if parts else {}
        one = LoadingFile(
            *(names[0], file.path, nbytes, file.opened, {**shared, **own}, pickled),
            form=file.form,
            dataset=own,
            version=version,
            loaded_nbytes=loaded_nbytes,
            alone=alone,
            kind=kind,
        )
        by_dataset |= dict.fromkeys(names, one)
    by_name = {}
    for dataset in sorted(by_dataset, key=lambda name: name.split("/")):
        one, name = by_dataset[dataset], dataset
        if prefix:
            name = f"{file.name}/{dataset}" if len(by_dataset) > 1 else file.name
        if dataset == one.name:
            one.name = name
        by_name[name] = one
    return by_name
