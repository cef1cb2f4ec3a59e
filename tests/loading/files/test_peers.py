"""What a load settles with those on other nodes: alone, the codes of what was found here."""

import pickle

import pytest

from shmkit._categories import MAX_NAMES
from shmkit.loading.files.peers import Agreed, Alone, agreed_codes


def test_alone_nothing_is_waited_for():
    assert Alone().plans([]) == ()
    Alone().room(1 << 60)
    found = {"a": [{"k": ["x"]}]}
    assert Alone().codes(found) == agreed_codes(found)


def test_codes_are_in_the_order_of_the_files_and_their_pieces():
    found = {"one": [{"k": ["b"]}, {"k": ["a", "b"], "other": ["z"]}], "two": [{"k": ["c", "a"]}]}
    assert agreed_codes(found).codes == {"k": {"b": 0, "a": 1, "c": 2}, "other": {"z": 0}}


def test_the_empty_text_is_first_wherever_it_comes():
    found = {"one": [{"k": ["b"], "other": ["z"]}], "two": [{"k": ["", "b"]}]}
    assert agreed_codes(found).codes == {"k": {"": 0, "b": 1}, "other": {"z": 0}}


def test_a_file_with_too_many_texts_fails_alone_and_gives_no_codes():
    many = [f"text{number}" for number in range(MAX_NAMES + 1)]
    agreed = agreed_codes({"one": [{"k": ["a"]}], "many": [{"k": many}], "two": [{"k": ["b"]}]})
    assert agreed.codes == {"k": {"a": 0, "b": 1}}
    assert list(agreed.failures) == ["many"]
    assert 'field "k"' in agreed.failures["many"]


@pytest.mark.parametrize("found", [{}, {"a": []}, {"a": [{}]}])
def test_without_categories_there_are_no_codes(found):
    assert agreed_codes(found) == Agreed({}, {})
    assert pickle.loads(pickle.dumps(agreed_codes(found))) == Agreed({}, {})
