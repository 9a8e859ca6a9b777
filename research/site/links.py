"""Links of the pages, which are written for a checkout, as links of the site.

A page links to its neighbours in `docs/`, to `../CONTRIBUTING.md` and to source files such as `../examples/x.py`.
In the site each source file that a page links to is a page of its own, so that the site is complete without a network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))|(?<=src=\")[^\"]+(?=\")|(?<=srcset=\")[^\"]+(?=\")")
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""Pages beside `docs/`, and what they are called in the site."""

LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".toml": "toml"}


def source_of(page: str) -> Path:
    """The file of the checkout that a page of the site is made of."""
    for name, site_name in ROOT_PAGES.items():
        if page == site_name:
            return ROOT / name
    return DOCS / page


def page_of(source: Path) -> str:
    """Path in the site of a file of the checkout."""
    if source.is_relative_to(DOCS):
        return source.relative_to(DOCS).as_posix()
    name = source.relative_to(ROOT).as_posix()
    return ROOT_PAGES.get(name, f"files/{name}.md")


def targets(markdown: str, source: Path) -> Iterator[Path]:
    """The files that the relative links of a page lead to."""
    for prose in FENCE.split(markdown)[::2]:
        for link in LINK.findall(prose):
            path = link.partition("#")[0]
            if path and not _absolute(link):
                yield (source.parent / path).resolve()


def rewritten(markdown: str, source: Path) -> str:
    """The page with its relative links as they have to be in the site."""
    start = os.path.dirname(page_of(source))

    def moved(match: re.Match[str]) -> str:
        path, mark, anchor = match[0].partition("#")
        if not path or _absolute(match[0]):
            return match[0]
        return os.path.relpath(page_of((source.parent / path).resolve()), start or ".") + mark + anchor

    return _outside_fences(markdown, lambda prose: LINK.sub(moved, prose))


def two_pictures(markdown: str) -> str:
    """`<picture>` follows the system's colours; the site has a switch, and shows one of two images by it."""
    pattern = r'<picture>\s*<source[^>]*srcset="([^"]+)">\s*<img src="([^"]+)"([^>]*)>\s*</picture>'
    both = r'<img src="\2#only-light"\3><img src="\1#only-dark"\3>'
    return re.sub(pattern, both, markdown)


def shown(source: Path) -> str:
    """A source file as a page."""
    name = source.relative_to(ROOT).as_posix()
    return f"# {name}\n\n```{LANGUAGES.get(source.suffix, '')}\n{source.read_text(encoding='utf-8').rstrip()}\n```\n"


def _absolute(link: str) -> bool:
    return re.match(r"\w+:", link) is not None


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    parts = FENCE.split(markdown)
    parts[::2] = [change(part) for part in parts[::2]]
    return "".join(parts)
