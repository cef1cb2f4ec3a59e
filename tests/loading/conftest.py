"""Many small files, for tests of what loads do with them."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """As many files as the module's FILES says, of 1 row, 2 rows, and so on."""
    for n in range(request.module.FILES):
        rows = "".join(f"{n},{i},s{n % 7}\n" for i in range(n + 1))
        (tmp_path / f"f{n:02}.csv").write_text("file,row,text\n" + rows)
    return tmp_path
