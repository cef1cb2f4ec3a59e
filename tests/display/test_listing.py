"""The segments that there are: whose, how large, held by whom; as text and as HTML."""

import numpy as np
from pages import Page

from shmkit import share
from shmkit.cleanup.owner import this_process
from shmkit.display.listing import list_segments, remove_left, total


def found_in(listing, path):
    (found,) = (one for one in listing.found if one.path == path)
    return found


def test_a_segment_is_found_with_its_array_and_who_holds_it(tmp_path):
    with share(np.zeros((20, 30), "f4"), backing=tmp_path) as array:
        found = found_in(list_segments(variables={"image": array}), array.segment.path)
        assert (found.owner, found.orphan) == (this_process(), False)
        assert (found.nbytes, found.header.shape) == (2400, (20, 30))
        assert (found.holders, found.file) == (["image"], "")


def test_what_is_unlinked_is_listed_as_long_as_it_is_mapped():
    array = share(np.zeros((3, 1, 4, 1, 5)))  # as no other test's, which garbage may hold
    array.close()
    (found,) = with_shape(array.shape)
    assert (found.path, found.written, found.nbytes) == ("", 0, 480)
    del array
    assert with_shape(found.header.shape) == []


def with_shape(shape):
    return [one for one in list_segments().found if one.header and one.header.shape == shape]


def test_text_and_html_say_the_same():
    with share(np.zeros((20, 30))) as array:
        listing = list_segments(variables={"<b>": array})
        assert "20 \N{MULTIPLICATION SIGN} 30" in str(listing)
        page = Page(listing._repr_html_())
        assert "20 \N{MULTIPLICATION SIGN} 30" in page.text
        assert page.tags("b") == []
        assert Page("".join(listing.rows(buttons=True))).tags("button")
        assert not Page("".join(listing.rows())).tags("button")
        assert total([found_in(listing, array.segment.path)]) == "1 segment, 4.80 kB"


def test_what_a_killed_process_left_is_told_and_removed(orphan, tmp_path):
    listing = list_segments([str(tmp_path)])
    assert found_in(listing, orphan).orphan
    assert "left by processes that were killed: shmkit gc" in str(listing)
    removed, text = remove_left([str(tmp_path)])
    assert orphan in removed
    assert text.startswith("removed ")
    assert [one for one in list_segments([str(tmp_path)]).found if one.path == orphan] == []
