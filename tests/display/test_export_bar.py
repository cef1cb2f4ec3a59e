"""The bar that a notebook shows of an export."""

import re
import time

from shmkit.display import export_bar
from shmkit.display.export_bar import ExportBar


class Written:
    """An export of 200 bytes."""

    nbytes_done, nbytes_total = 0, 200


def test_an_export_has_a_bar_that_goes(shell, monkeypatch):
    monkeypatch.setattr(export_bar, "_PATIENCE", 0)
    monkeypatch.setattr(export_bar, "_PERIOD", 0)
    bar, written = ExportBar(), Written()
    bar.begin(written)
    for written.nbytes_done in (50, 100):
        bar.update(written)
    bar.end(written)
    outputs = shell.display_pub.outputs
    pages = [output["data"]["text/html"] for output in outputs[:2]]
    assert [re.search(r'<progress .*value="(\d+)"', page)[1] for page in pages] == ["50", "100"]
    assert re.fullmatch(r"Writing 50 B of 200 B · .*/s", outputs[0]["data"]["text/plain"])
    assert outputs[-1]["data"] == {"text/html": "", "text/plain": ""}
    assert len({output["transient"]["display_id"] for output in outputs}) == 1


def test_a_quick_export_shows_nothing(shell):
    bar, written = ExportBar(), Written()
    bar.begin(written)
    bar.update(written)
    bar.end(written)
    assert shell.display_pub.outputs == []


def test_it_changes_at_most_five_times_a_second(shell, monkeypatch):
    monkeypatch.setattr(export_bar, "_PATIENCE", 0)
    bar, written, start = ExportBar(), Written(), time.monotonic()
    bar.begin(written)
    while len(shell.display_pub.outputs) < 3:
        bar.update(written)
    assert time.monotonic() - start >= 3 * 0.2
