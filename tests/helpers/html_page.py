"""What every page must be: valid, whole in one file, and readable without eyes or a mouse."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["Page"]

VOID = {"meta", "img", "br", "line", "polyline", "input", "circle"}


class Page(HTMLParser):
    """Checks nesting while it reads; keeps what the page refers to, its text and its tags.

    tags: names in order; elements: (name, attributes); words: pieces of text, scripts left out.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.words, self.tags, self.elements = [], [], [], [], []
        self.feed(text)
        assert self.open == []
        assert text.startswith("<!doctype html>")
        assert not re.search(r"https?://|@import|url\(|<link|src=\"(?!data:)", text)
        self._check()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.references += [value for name, value in attrs if name in ("src", "href", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID and self.open[-1] != tag:
            return  # <circle><title>…</title></circle>
        assert self.open.pop() == tag, self.getpos()

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def _check(self):
        ids = [attrs["id"] for _, attrs in self.elements if "id" in attrs]
        assert len(ids) == len(set(ids)), ids
        for tag, attrs in self.elements:
            if tag == "html":
                assert attrs["lang"] == "en"
            if tag == "img":
                assert attrs["alt"]
                assert attrs["src"].startswith("data:image/")
            if tag == "svg":
                assert attrs["role"] == "img"
                assert attrs["aria-label"]
            if tag == "th":
                assert attrs["scope"] in ("row", "col", "rowgroup"), attrs
            for name in ("aria-labelledby", "for"):
                assert attrs.get(name, ids[:1] and ids[0]) in ids or name not in attrs
        headings = [int(tag[1]) for tag in self.tags if re.fullmatch("h[1-6]", tag)]
        assert headings[0] == 1
        assert headings.count(1) == 1
        assert all(b <= a + 1 for a, b in zip(headings, headings[1:]))  # noqa: B905, RUF007
