"""Which reader reads which file, and that none is imported for others' files."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from shmkit import to_hdf5
from shmkit.readers.choose import Opener, check_options, opener
from shmkit.readers.formats import Format


@pytest.mark.parametrize(
    ("formats", "options", "message"),
    [
        ([Format.TEXT], ["dtype", "max_rows"], ""),
        ([Format.TEXT, Format.HDF5, Format.TEXT], ["dtype", "dataset"], ""),
        ([Format.NPY], [], ""),
        ([Format.NPZ], ["dataset"], ""),
        ([Format.FOREIGN], ["dtype", "dataset"], ""),  # which is an error of its own
        (
            [Format.HDF5],
            ["dtype", "ndmin"],
            "dtype, ndmin: for text .* these are HDF5",
        ),
        ([Format.NPY, Format.TEXT], ["dataset"], "dataset: .*, and these are .npy files and text"),
    ],
)
def test_an_option_must_be_of_use_to_a_file(formats, options, message):
    if not message:
        check_options(formats, options)
        return
    with pytest.raises(TypeError, match=message):
        check_options(formats, options)


def test_an_opener_takes_the_options_of_its_format_alone_and_travels():
    given = {"dtype": "f4", "usecols": 1, "dataset": ["a"]}
    expected = {
        Format.TEXT: {"dtype": np.dtype("f4"), "usecols": [1]},
        Format.HDF5: {"dataset": ["a"]},
        Format.NPY: {},
    }
    for form, options in expected.items():
        made = pickle.loads(pickle.dumps(opener(form, None, given)))
        assert made == Opener(form, options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "needed"),
    [("a.npy", "npy"), ("a.txt", "text"), ("a.h5", "hdf5"), ("a.h5 by a function", "custom")],
)
def test_only_the_reader_that_is_needed_is_imported(tmp_path, name, needed):
    path, _, function = name.partition(" ")
    np.save(tmp_path / "a.npy", np.arange(3))
    (tmp_path / "a.txt").write_text("1\n")
    to_hdf5(tmp_path / "a.h5", np.arange(3))
    code = (
        "import sys\n"
        "from shmkit.readers.choose import opener\n"
        "from shmkit.readers.formats import format_of\n"
        f"function = (lambda path: [1]) if {bool(function)} else None\n"
        f"made = opener(format_of({path!r}, function), function, {{'dataset': 'data'}})\n"
        f"with made.open({path!r}) as reader:\n"
        "    reader.probe()\n"
        "names = {name.split('.')[2] for name in sys.modules if 'shmkit.readers.' in name}\n"
        "print(*sorted(names & {'npy', 'text', 'hdf5', 'custom'}), 'h5py' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [needed, str(needed == "hdf5")]
