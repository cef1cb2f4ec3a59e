"""Text columns mean characters, whether UTF-8 or codes lie in memory."""

import copy
import multiprocessing
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmkit import SharedText, attach, share
from shmkit._text_dtype import coded_text, encoded, text_dtype

STATIONS = ["Oslo", "Århus", "Oslo", "", "東京", "a b", "Oslo\N{MUSICAL SYMBOL G CLEF}", "Z"]
COMPARISONS = [
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


def stored(texts, how):
    """A column as it lies in memory."""
    if how == "utf-8":
        utf8 = encoded(np.array(texts, "U"))
        return utf8.astype(text_dtype(utf8.itemsize))
    names, codes = np.unique(np.array(texts, "U"), return_inverse=True)
    order = np.arange(len(names))[::-1]  # codes have no order of their own
    return order[codes].astype(coded_text(names[order].tolist()))


@pytest.fixture(params=["utf-8", "codes"])
def how(request):
    return request.param


@pytest.fixture
def station(how):
    with share({"station": stored(STATIONS, how)}) as table:
        yield table["station"]


def column(texts, how):
    return share({"x": stored(texts, how)})["x"]


def test_what_is_said_of_it(station, how):
    assert type(station) is SharedText
    assert station.stored.dtype.kind == {"utf-8": "S", "codes": "u"}[how]
    assert np.shares_memory(station.stored, station[1:].stored)
    assert (station.shape, station.ndim, station.size, len(station)) == ((8,), 1, 8, 8)
    assert station.dtype == np.asarray(station).dtype
    assert station.nbytes == station.stored.nbytes
    assert station.segment is station.stored.segment
    categories = None if how == "utf-8" else sorted(set(STATIONS), reverse=True)
    assert (station.categories if categories is None else station.categories.tolist()) == categories


def test_items_slices_and_copies(station):
    assert station[1] == "Århus"
    assert type(station[1]) is str
    assert station[-1] == "Z"
    assert type(station[2:6]) is SharedText
    assert station[2:6][::-2].tolist() == ["a b", ""]
    for plain in (station[[0, 4]], station[np.array(STATIONS) == "Oslo"], station.copy()):
        assert type(plain) is np.ndarray
        assert plain.dtype.kind == "U"
    assert station[[0, 4]].tolist() == ["Oslo", "東京"]
    assert station[:, None].shape == (8, 1)
    with pytest.raises(IndexError):
        station[8]


def test_as_a_sequence(station):
    assert station.tolist() == list(station) == STATIONS
    assert "東京" in station
    assert "東" not in station
    assert 5 not in station
    assert sorted(station) == sorted(STATIONS)
    assert list(station[:, None][0]) == ["Oslo"]
    with pytest.raises(TypeError):
        hash(station)


def test_as_other_arrays(station):
    plain = np.array(STATIONS)
    assert np.array_equal(np.asarray(station), plain)
    assert np.array(station, dtype="U2").tolist() == [text[:2] for text in STATIONS]
    assert station.astype(str).tolist() == STATIONS
    assert station.astype(object).tolist() == STATIONS
    variable = station.astype(np.dtypes.StringDType())
    assert variable.dtype.kind == "T"
    assert variable.tolist() == STATIONS
    assert station.astype("S").tolist() == [text.encode() for text in STATIONS]
    with pytest.raises(ValueError, match="decoded into a copy"):
        np.asarray(station, copy=False)


def test_numbers_that_texts_say(how):
    assert column(["1.5", "2", "-3"], how).astype(float).tolist() == [1.5, 2, -3]
    with pytest.raises(ValueError, match="could not convert"):
        column(["1.5", "x"], how).astype(float)


@pytest.mark.slow
@given(texts=st.lists(TEXTS, min_size=1, max_size=8), other=TEXTS)
@pytest.mark.parametrize("compare", COMPARISONS)
def test_comparisons_are_those_of_str(how, compare, texts, other):
    found = column(texts, how)
    expected = [compare(text, other) for text in texts]
    assert compare(found, other).tolist() == expected
    assert compare(found, np.str_(other)).tolist() == expected
    assert compare(other, found).tolist() == [compare(other, text) for text in texts]
    many = [other] * (len(texts) - 1) + [texts[0]]
    expected = [compare(text, one) for text, one in zip(texts, many, strict=True)]
    variable = np.array(many, np.dtypes.StringDType())
    for others in (many, np.array(many), np.array(many, object), variable):
        assert compare(found, others).tolist() == expected
    for others in (column(many, "utf-8"), column(many, "codes")):
        assert compare(found, others).tolist() == expected
    turned = [compare(one, text) for text, one in zip(texts, many, strict=True)]
    assert compare(np.array(many), found).tolist() == turned


def test_what_is_no_text_equals_none(station):
    for other in (5, None, 1.5, object()):
        assert not np.any(station == other)
        assert np.all(station != other)
    assert not (station == "\ud800").any()
    with pytest.raises(TypeError):
        _ = station < 5


@given(texts=st.lists(TEXTS, min_size=1, max_size=12), tests=st.lists(TEXTS, max_size=3))
def test_isin_unique_and_sorting_are_those_of_str(how, texts, tests):
    found, plain = column(texts, how), np.array(texts, "U")
    wanted = [*tests, texts[0]]
    assert np.isin(found, wanted).tolist() == [text in wanted for text in texts]
    assert np.isin(found, wanted, invert=True).tolist() == [text not in wanted for text in texts]
    assert np.isin(np.array(wanted), found).tolist() == [text in texts for text in wanted]
    assert np.unique(found).tolist() == sorted(set(texts))
    every = {"return_index": True, "return_inverse": True, "return_counts": True}
    for mine, numpys in zip(np.unique(found, **every), np.unique(plain, **every), strict=True):
        assert mine.tolist() == numpys.tolist()
    assert np.sort(found).tolist() == sorted(texts)
    assert plain[np.argsort(found)].tolist() == sorted(texts)
    order = sorted(range(len(texts)), key=texts.__getitem__)
    assert np.argsort(found, kind="stable").tolist() == order


def test_isin_of_what_is_no_text(station):
    assert not np.isin(station, [1, 2]).any()


def test_other_functions_of_numpy_get_the_characters(station):
    plain = np.array(STATIONS)
    for function in (
        np.strings.str_len,
        np.strings.upper,
        lambda x: np.strings.startswith(x, "O"),
        lambda x: np.strings.replace(x, "Os", "As"),
        lambda x: np.concatenate([x, x[:2]]),
        lambda x: np.where(np.asarray(x) == "Z", x, "other"),
        lambda x: np.repeat(x, 2),
        lambda x: np.searchsorted(np.sort(plain), x),
        lambda x: x + "!",
        lambda x: "!" + x,
        np.shape,
        np.ndim,
    ):
        assert np.array_equal(function(station), function(plain))
    assert np.array_equal(station, plain)


def test_what_is_assigned_is_seen_by_everyone(station, how):
    other = attach(station.segment.path)["station"]
    station[0] = "東京"
    station[1:3] = ["Z", "Århus"]
    assert other[:3].tolist() == ["東京", "Z", "Århus"]
    station[3:5] = station[5]
    station[6:] = other[:2]
    assert other.tolist() == ["東京", "Z", "Århus", "a b", "a b", "a b", "東京", "Z"]
    before = other.tolist()
    if how == "utf-8":
        with pytest.raises(ValueError, match=r"a text of 9 bytes in UTF-8 does not fit .* has 8"):
            station[0] = "東京都"
    else:
        with pytest.raises(ValueError, match="'東京都' is none of the 7 texts"):
            station[0] = "東京都"
    with pytest.raises(TypeError, match="holds str, not int64"):
        station[0] = 5
    with pytest.raises(TypeError, match="holds str"):
        station[0] = None
    with pytest.raises(ValueError, match="read-only"):
        other[0] = "Z"
    with pytest.raises(TypeError):
        station += "x"
    assert other.tolist() == before


def test_a_column_of_nothing(how):
    empty = column([], how)
    assert (empty == "x").tolist() == empty.tolist() == np.unique(empty).tolist() == []
    assert empty.astype(np.dtypes.StringDType()).shape == (0,)


def test_the_repr_decodes_the_ends_alone(how):
    assert repr(column(["a", "é"], how)) == "SharedText(['a', 'é'])"
    many = column(list("abcdefgh") * 1000, how)
    assert repr(many) == "SharedText(['a', 'b', 'c', ..., 'f', 'g', 'h'])"


def say(texts):
    return type(texts).__name__, texts.tolist(), int((texts == "Oslo").sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_worker_gets_the_same_memory(station, method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(say, (station,)) == ("SharedText", STATIONS, 2)
        assert pool.apply(say, (station[::2],)) == ("SharedText", STATIONS[::2], 2)


def test_as_data_it_is_a_plain_array(station):
    station.close()
    for got in (pickle.loads(pickle.dumps(station)), copy.deepcopy(station)):
        assert type(got) is np.ndarray
        assert got.tolist() == STATIONS


def test_bytes_that_are_no_utf8_are_shown_as_such(how):
    if how == "codes":
        return
    bad = np.array([b"a", b"\xff\xfe"], text_dtype(2))
    with share({"x": bad}) as table:
        assert table["x"].tolist() == ["a", "\ufffd\ufffd"]
        assert (table["x"] == "a").tolist() == [True, False]
