"""`llms.txt`: the site's pages as a list that a language model reads (llmstxt.org), made from the navigation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import crestfall
from research.site.links import FENCE


def index(nav: list[Any], markdown: Mapping[str, str]) -> str:
    """`nav` as in mkdocs.yml; `markdown`: each page's text, by its name in the site."""
    lines = ["# crestfall", "", f"> {crestfall.__doc__}"]
    for section in nav:
        for title, entries in section.items():
            lines += ["", f"## {title}", ""]
            lines += [f"- [{name}]({page}): {summary(markdown[page])}" for name, page in entries_of(entries)]
    return "\n".join(lines) + "\n"


def entries_of(nav: Any, title: str = "") -> Iterator[tuple[str, str]]:
    """Title and page of every entry, however deep it stands."""
    if isinstance(nav, str):
        yield title, nav
    elif isinstance(nav, dict):
        for name, below in nav.items():
            yield from entries_of(below, name)
    else:
        for entry in nav:
            yield from entries_of(entry)


def summary(markdown: str) -> str:
    """The first sentence of a page's first paragraph, without links and emphasis."""
    prose = re.sub(r"<!--.*?-->|<[^>]+>", "", FENCE.sub("", markdown))
    paragraphs = [" ".join(part.split()) for part in prose.split("\n\n")]
    first = next((part for part in paragraphs if part and not part.startswith(("#", "|", "-", "*", ":::", "!["))), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first).replace("**", "")
    return re.split(r"(?<=[.?!])\s", plain, maxsplit=1)[0].removesuffix(":")
