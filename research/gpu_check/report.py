"""Results of the checks, written to disk after each of them: gpu.json for programs, gpu.md for people."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal


class Skipped(Exception):
    """A check that cannot be made here; the message says what is missing."""


@dataclass(frozen=True)
class Row:
    """One finding. `ok` is None where nothing is expected of it: it is a measurement."""

    what: str
    value: Any
    expected: str = ""
    ok: bool | None = None


@dataclass
class Section:
    name: str
    doc: str
    status: Literal["done", "failed", "skipped"] = "done"
    seconds: float = 0.0
    why: str = ""
    """Reason why the check failed or was skipped."""
    rows: list[Row] = field(default_factory=list)

    def add(self, what: str, value: Any, expected: str = "", ok: bool | None = None) -> None:
        self.rows.append(Row(what, _plain(value), expected, None if ok is None else bool(ok)))


class Report:
    """Holds sections and writes both files anew whenever one is finished."""

    def __init__(self, out: Path, title: str) -> None:
        self.out, self.title, self.sections = out, title, list[Section]()
        out.mkdir(parents=True, exist_ok=True)

    def finish(self, section: Section) -> None:
        self.sections.append(section)
        data = {"title": self.title, "sections": [asdict(s) for s in self.sections]}
        (self.out / "gpu.json").write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        (self.out / "gpu.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        return "\n".join([f"# {self.title}", "", *(text(section) for section in self.sections)])

    @property
    def last(self) -> str:
        """The section just finished, as text."""
        return text(self.sections[-1])

    @property
    def wrong(self) -> list[str]:
        """Names of the failed checks."""
        out = [f"{s.name}: {s.why}" for s in self.sections if s.status == "failed"]
        out += [f"{s.name}: {row.what} is {row.value}" for s in self.sections for row in s.rows if row.ok is False]
        return out


def text(section: Section) -> str:
    """A section as a heading and a table."""
    lines = [f"## {section.name} ({section.status}, {section.seconds:.0f} s)", "", section.doc, ""]
    if section.why:
        lines += [section.why, ""]
    if section.rows:
        lines += ["| what | value | expected |", "|---|---|---|"]
        lines += [f"| {row.what} | {_cell(row.value)} | {row.expected}{_verdict(row.ok)} |" for row in section.rows]
        lines += [""]
    return "\n".join(lines)


def _verdict(ok: bool | None) -> str:
    return {None: "", True: " ✓", False: " **✗**"}[ok]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def _plain(value: Any) -> Any:
    """Numbers that JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
