"""Categories: text columns as codes, whose names go where the array goes."""

import gzip
import itertools
import pickle
import re
import subprocess
import sys
from dataclasses import replace

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pytest
from dumps import h5dump
from hypothesis import given
from hypothesis import strategies as st
from kinds import message_of
from machine import refuse
from reading import MemoryWriter, open_reader, probe

from shmkit import LoadError, attach, preview, share, shared_load, to_hdf5
from shmkit._categories import category, coded
from shmkit.readers.text.rows import rows as _rows

NAMES = ["chr1", "chrX", "", " a", "a b", '"q"', "é", "日本語", "12345678", "123456789", "x" * 255]
RECORD = np.dtype([("chr", category(["chr1", "é"])), ("x", "f4"), ("in", [("s", category(["a"]))])])


def load(files, **options):
    return shared_load(files, categories="chr", progress=False, **options)


def texts(array, field="chr"):
    return array[field].categories[array[field]].tolist()


@pytest.fixture(params=["compiled", "np.loadtxt"])
def parser(request, monkeypatch):
    """Each way to read text, in this process."""
    if request.param == "np.loadtxt":
        monkeypatch.setattr(_rows, "parser", None)
    elif _rows.parser is None:
        refuse("the parser was not compiled: the other case is what there is")


@pytest.fixture
def two_files(tmp_path):
    """Of which the second has the names of the first in another order, and more."""
    (tmp_path / "a.txt").write_text("chr\tpos\nchr1\t1\nchr2\t2\n")
    (tmp_path / "b.txt").write_text("chr\tpos\nchrX\t1\nchr2\t2\nchr1\t3\n")
    return [tmp_path / "a.txt", tmp_path / "b.txt"]


@pytest.mark.usefixtures("parser")
@given(
    rows=st.lists(st.sampled_from(NAMES), min_size=1, max_size=30),
    cuts=st.lists(st.floats(0, 1), max_size=4),
    encoding=st.sampled_from(["utf-8", "utf-8", "latin-1"]),
    usecols=st.sampled_from([None, [2, 0], [-1, 0]]),
)
def test_any_cut_gives_the_texts_of_loadtxt_in_order(tmp_path, rows, cuts, encoding, usecols):
    if encoding == "latin-1":
        rows = [name for name in rows if name != "日本語"] or ["é"]
    path = str(tmp_path / "calls.txt")
    with open(path, "w", encoding=encoding) as file:
        file.writelines(f"{name}\t{i}\t{name[:2]}\n" for i, name in enumerate(rows))
    dtype = [("chr", "U255"), ("n", "i4"), ("short", "U2")]
    dtype = dtype if usecols is None else [dtype[2], dtype[0]]
    options = {"dtype": np.dtype(dtype), "delimiter": "\t", "encoding": encoding}
    options |= {} if usecols is None else {"usecols": usecols}
    plan = probe(path, **{**options, "categories": ["chr", "short"]})
    with open(path, "rb") as file:
        last = len(file.read())
    plan = replace(plan, span=(0, last))
    edges = [0, *sorted(int(last * cut) for cut in cuts), last]
    pieces, line = [], 0
    with open_reader(path, **options) as reader:
        for start, stop in itertools.pairwise(edges):
            part, writer = reader.count(plan, start, stop)._replace(line=line), MemoryWriter()
            piece = reader.read(plan, part, writer)
            writer.resize((piece.rows,))
            pieces.append((writer.array, piece.categories))
            line += part.lines
    expected = np.loadtxt(path, **options, comments="#", ndmin=1)
    codes = coded({}, [names for _, names in pieces])
    for field in ("chr", "short"):
        found = [names[field][code] for array, names in pieces for code in array[field]]
        assert found == expected[field].tolist()
        assert list(codes[field]) == list(dict.fromkeys(found))


def test_parts_of_a_large_file_agree(tmp_path):
    names = [f"scaffold_{i // 7}" for i in range(9000, 0, -1)]
    path = tmp_path / "large.txt"
    path.write_text("chr\tpos\n" + "".join(f"{name}\t1\n" for name in names) * 120)
    for processes in (1, 2):
        with load(path, processes=processes) as (table,):
            assert table["chr"].categories.tolist() == list(dict.fromkeys(names))
            codes = np.asarray(table["chr"]).reshape(120, -1)
            assert (codes == codes[0]).all()
            assert texts(table[: len(names)]) == names


def test_codes_are_the_same_in_all_arrays_of_a_load(two_files):
    with load(two_files, processes=2) as tables:
        assert [table["chr"].tolist() for table in tables] == [[0, 1], [2, 1, 0]]
        for table in tables:
            assert table["chr"].dtype == np.uint16
            assert table["chr"][::-1].categories.tolist() == ["chr1", "chr2", "chrX"]
            assert table["pos"].categories is None
    options = {"dtype": [("chr", "U8"), ("pos", "i4")], "skiprows": 1}
    with load(two_files, processes=2, **options) as arrays:
        assert [array["chr"].tolist() for array in arrays] == [[0, 1], [2, 1, 0]]
        for array in arrays:
            assert array.dtype["chr"] == np.uint16
            assert array["chr"][::-1].categories.tolist() == ["chr1", "chr2", "chrX"]
            assert array.categories is None
            assert array["pos"].categories is None
    with load(two_files[::-1]) as arrays:
        assert arrays["a"]["chr"].categories.tolist() == ["chrX", "chr2", "chr1"]


def test_a_file_that_failed_has_no_names(two_files):
    two_files[0].write_text("chr\tpos\nchr9\t1\nchr8\tbad\n")
    options = {"dtype": [("chr", "U8"), ("pos", "i4")], "skiprows": 1, "on_error": "skip"}
    with load(two_files, **options) as arrays:
        assert list(arrays.failures) == ["a"]
        assert arrays["b"]["chr"].categories.tolist() == ["chrX", "chr2", "chr1"]


@pytest.mark.usefixtures("parser")
def test_only_rows_give_names(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a,1,b\n" * 5 + "a,2,b#see,3,this\n" + "c,4,b\n" * 5)
    dtype = [("x", "U8"), ("n", "i4"), ("y", "U8")]
    options = {"dtype": dtype, "delimiter": ",", "categories": ["x", "y"], "progress": False}
    with shared_load(path, **options) as arrays:
        assert arrays[0]["x"].categories.tolist() == ["a", "c"]
        assert texts(arrays[0], "x") == ["a"] * 6 + ["c"] * 5


@pytest.mark.slow
def test_too_many_texts_are_an_error(tmp_path, two_files):
    names = "".join(f"n{i}\t1\n" for i in range(65_536))
    path = tmp_path / "many.txt"
    path.write_text("chr\tpos\n" + names)
    with load(path) as (array,):
        assert len(array["chr"].categories) == 65_536
    with pytest.raises(LoadError, match='field "chr" has more than 65,536 different texts'):
        load([path, two_files[0]])
    with load([path, *two_files], on_error="skip") as arrays:
        assert list(arrays.failures) == ["a", "b"]
    path.write_text("chr\tpos\n" + names + "another\t1\n")
    for options in ({}, {"dtype": [("chr", "U8"), ("pos", "i4")], "skiprows": 1}):
        with pytest.raises(LoadError, match=r'many\.txt: field "chr" has more than 65,536'):
            load(path, **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("chr\tpos\nchr1\t1\n" + "x" * 256 + "\t2\n", "line 3, column 1: .* more than 255 bytes"),
        ("chr\tpos\n" + "chr1\t1\n" * 999 + "a\0b\t2\n", "line 1001, column 1: .* a NUL"),
        ("name\tpos\nchr1\t1\n", "names 'chr', .* none of its columns: 'name', 'pos'"),
        ("1\t2\n", "names 'chr', .* none of its columns: 'f0', 'f1'"),
    ],
)
def test_what_is_no_category_is_an_error(tmp_path, content, message):
    path = tmp_path / "calls.txt"
    path.write_text(content)
    with pytest.raises(LoadError, match=message):
        load(path)


def test_numbers_are_categories_as_they_stand(tmp_path):
    path = tmp_path / "calls.txt.gz"
    path.write_bytes(gzip.compress(b"chr\tpos\n01\t5\n1\t6\nX\t7\n"))
    with load(path, max_rows=2) as (array,):
        assert texts(array) == ["01", "1"]


def test_names_go_where_the_array_goes(two_files, backing):
    with load(two_files, backing=backing) as arrays:
        array = arrays["b"]
        assert texts(pickle.loads(message_of(array[1:]))) == ["chr2", "chr1"]
        copied = pickle.loads(pickle.dumps(array[1:]))
        assert h5py.check_enum_dtype(copied["chr"].dtype) == {"chr1": 0, "chr2": 1, "chrX": 2}
        with share(array["chr"]) as shared:
            assert shared.categories[shared].tolist() == ["chrX", "chr2", "chr1"]
        assert np.load(array.segment.path, mmap_mode="r")["pos"].tolist() == [1, 2, 3]
        script = "import shmkit, sys; a = shmkit.attach(sys.argv[1])['chr']; print(a.categories[a])"
        done = subprocess.run(
            [sys.executable, "-c", script, array.segment.path],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "['chrX' 'chr2' 'chr1']\n"


@pytest.mark.parametrize("layout", ["table", "columns"])
def test_hdf5_has_an_enum(tmp_path, two_files, layout):
    path = tmp_path / "calls.h5"
    two_files[1].write_text("chr\tpos\né\t1\n\t2\nchr1\t3\n")
    with load(two_files) as arrays:
        expected = [name for array in arrays for name in texts(array)]
        to_hdf5(path, list(arrays), concat=True, layout=layout, progress=False)
    with h5py.File(path) as file:
        column = file["data"] if layout == "table" else file["data/chr"]
        codes = column["chr"] if layout == "table" else column[:]
        enum = h5py.check_enum_dtype(codes.dtype)
        assert enum == {"chr1": 1, "chr2": 2, "é": 3}  # HDF5 has no empty name
        names = {code: name for name, code in enum.items()}
        assert [names.get(code, "") for code in codes] == expected
    assert re.search(r'ENUM {\s+H5T_STD_U16LE;\s+"chr1" +1;\s+"chr2" +2;', h5dump(str(path), "-H"))
    with shared_load(path, progress=False) as arrays:
        column = arrays["data"]["chr"]
        assert column.categories[column].tolist() == expected


def test_what_hdf5_cannot_name_is_an_error_before_anything_is_written(tmp_path):
    path = tmp_path / "calls.h5"
    other = np.zeros(2, [("chr", category(["é", "chr1"])), ("x", "f4"), ("in", RECORD["in"])])
    with pytest.raises(ValueError, match=r"the categories of one load, .* but array0"):
        to_hdf5(path, [np.zeros(2, RECORD), other], concat=True, progress=False)
    many = np.zeros(2, category(f"scaffold_{i}" for i in range(9000)))
    with pytest.raises(TypeError, match="data has categories of 9000 names, and HDF5"):
        to_hdf5(path, many, progress=False)
    assert not path.exists()


def test_a_preview_counts_texts(two_files):
    with load(two_files) as arrays:
        axes = preview(arrays["b"])
    assert sorted(label.get_text() for label in axes[0].get_yticklabels()) == [
        "chr1",
        "chr2",
        "chrX",
    ]
    plt.close(axes[0].figure)


def test_enums_of_others_and_bools_stay_what_they_are(tmp_path):
    path = tmp_path / "others.h5"
    signed = {"low": -1, "high": 5}
    with h5py.File(path, "w") as file:
        file["bools"] = np.array([True, False])
        file["gaps"] = np.array([5, 2], h5py.enum_dtype({"b": 2, "f": 5}))
        file["signed"] = np.array([-1, 5], h5py.enum_dtype(signed, "i4"))
        file["nested"] = np.zeros(2, RECORD)
    with shared_load(path, progress=False) as arrays:
        assert arrays["bools"].dtype == bool
        assert arrays["gaps"].categories[arrays["gaps"]].tolist() == ["f", "b"]
        assert arrays["signed"].categories is None
        assert h5py.check_enum_dtype(attach(arrays["signed"].segment.path).dtype) == signed
        assert texts(arrays["nested"]["in"], "s") == ["a", "a"]
