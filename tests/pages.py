"""What is in a page of HTML."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """The elements and the table of a piece of HTML."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.rows, self.text = [], [], ""
        self._style = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._style = tag == "style"
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, text):
        if self._style:
            return
        self.text += text
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += text

    def tags(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def cells(page):
    """The rows of the table in a page, headings first."""
    return [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?</tr>", page)
    ]


def words(page):
    """The text of a page, without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).strip()
