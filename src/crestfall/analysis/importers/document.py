"""Logs inside documents: outputs of a notebook, tables and log excerpts of HTML and markdown pages (model cards)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.console import read_lines
from crestfall.analysis.importers.frame import About, histories
from crestfall.analysis.importers.tables import frames_in, frames_of_html
from crestfall.analysis.importers.text import lines_of, read_text, run_name, suffix_of
from crestfall.core.errors import InputError
from crestfall.core.registry import register


@register("importer", "document")
@dataclass(frozen=True)
class Document(OneFile):
    """Notebooks (.ipynb), HTML and markdown with tables or log lines."""

    order: ClassVar[int] = 7

    def claims(self, path: Path, head: bytes) -> bool:
        return suffix_of(path) in (".ipynb", ".html", ".htm", ".md", ".markdown")

    def read_one(self, path: Path) -> list[History]:
        text, kind = read_text(path), suffix_of(path)
        if kind == ".ipynb":
            frames, lines = _notebook(text, path)
        elif kind in (".html", ".htm"):
            frames, rest = frames_of_html(text)
            lines = lines_of(rest)
        else:
            frames, lines = [], lines_of(text)
            if "<table" in text:
                frames, rest = frames_of_html(text)
                lines = lines_of(rest)
        about = About(run_name(path), path, {".ipynb": "notebook"}.get(kind, "document"))
        found = list(_read(frames + (frames_in(lines) if kind != ".ipynb" else []), about))
        found = found or read_lines(lines, about)
        if not found:
            raise InputError(f"{path}: expected a table with a step column or log lines with scores in it")
        return found


def _read(frames: Sequence[Frame], about: About) -> Iterator[History]:
    for number, frame in enumerate(frames, start=1):
        name = about.name if len(frames) == 1 else f"{about.name} table {number}"
        yield from histories(frame, About(name, about.source, about.format))


def _notebook(text: str, path: Path) -> tuple[list[Frame], list[str]]:
    """Tables of HTML outputs, and the lines of all other outputs."""
    try:
        outputs = [o for cell in json.loads(text)["cells"] for o in cell.get("outputs", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected a notebook with cells: {error!r}") from None
    frames: list[Frame] = []
    lines: list[str] = []
    for output in outputs:
        data = output.get("data", {})
        html = _joined(data.get("text/html", ""))
        found, _ = frames_of_html(html) if "<t" in html else ([], "")
        frames += found
        if not found:
            lines += lines_of(_joined(output.get("text", "")) or _joined(data.get("text/plain", "")))
    return frames, lines


def _joined(text: Any) -> str:
    return "".join(text) if isinstance(text, list) else str(text or "")
