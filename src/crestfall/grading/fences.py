"""Fenced blocks of a chat answer, as models write them rather than as CommonMark asks: in lists and quotes, behind
prose on the same line, with odd tags, with text behind the closing fence, without one, or with nothing but one.

Where a block ends is decided by its content: at the first fence up to which it is a program. So fences in docstrings
end nothing. The number of tries per block is bounded, and so the time is linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["python", "plain", "markdown", "other"]
MAX_TRIES = 8
MAX_RUNS = 600
"""Maximum number of fences: in a longer answer only the last ones count."""
MAX_LINE = 200
"""Number of characters that are read of a fence's line, before and after the fence."""

_RUN = re.compile(r"`{3,}|~{3,}")
_MARGIN = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*\Z")
_TAG = re.compile(r"[{\[(. \t]*(?:language[-=]|lang[-=])?[\"']?([A-Za-z][\w+#.\-]*)")
_PYTHON = re.compile(r"(?:[icg]|micro|c?)?python-?(?:repl|[\d.]*)|py[\d.]*|pypy\d?|pycon|sage|jupyter|[\w\-]+\.py")
_PLAIN = frozenset({"", "text", "txt", "plain", "plaintext", "code", "none", "raw", "output", "answer", "solution"})
_MARKDOWN = frozenset({"markdown", "md"})
_OTHER = frozenset(
    re.findall(
        r"\S+",
        "bash sh shell zsh console terminal cmd bat powershell ps1 c cpp c++ cc cxx csharp cs java javascript js jsx "
        "typescript ts tsx go golang rust rs ruby rb php perl lua r julia kotlin swift scala haskell hs ocaml elixir "
        "erlang sql json jsonc yaml yml toml ini xml html css diff patch makefile dockerfile latex tex math mermaid "
        "pseudocode pseudo csv log input",
    )
)


@dataclass(frozen=True)
class Block:
    """Content of a fence. `closed`: whether a fence ends it."""

    kind: Kind
    body: str
    start: int
    end: int
    closed: bool


@dataclass(frozen=True)
class _Run:
    start: int
    end: int
    first: bool
    """Whether only indentation, list marks and quote marks precede the fence on its line."""
    quoted: bool
    info: str
    """Text after the fence on its line."""
    kind: Kind

    @property
    def tagged(self) -> bool:
        """Whether the fence has the form of a block's beginning, with a language's tag."""
        return self.kind != "plain" and bool(self.info.strip())


def blocks_of(text: str, is_code: Callable[[str], bool]) -> list[Block]:
    """The fenced blocks in order. `is_code` says whether a text is a program, or the rest of one."""
    runs = _runs(text)[-MAX_RUNS:]
    blocks: list[Block] = []
    i = 0
    if runs and not runs[0].info.strip() and (lone := _opened_by_the_prompt(text, runs[0], is_code)):
        blocks.append(lone)
        i = 1
    while i < len(runs):
        if runs[i].kind == "markdown":
            i += 1
            continue
        block, i = _block(text, runs, i, is_code)
        if block is not None:
            blocks.append(block)
    return blocks


def without_blocks(text: str, blocks: list[Block]) -> str:
    """Text outside of the blocks."""
    kept, start = [], 0
    for block in blocks:
        kept.append(text[start : block.start])
        start = block.end
    return "\n".join([*kept, text[start:]])


def _runs(text: str) -> list[_Run]:
    runs = []
    for match in _RUN.finditer(text):
        line = text.rfind("\n", max(0, match.start() - MAX_LINE), match.start()) + 1
        before = text[line : match.start()] if line or match.start() <= MAX_LINE else "far into a line"
        first = _MARGIN.match(before) is not None
        if match[0][0] == "~" and not first:
            continue
        stop = text.find("\n", match.end(), match.end() + MAX_LINE)
        info = text[match.end() : stop if stop >= 0 else match.end() + MAX_LINE]
        runs.append(_Run(match.start(), match.end(), first, ">" in before, info, _kind(info)))
    return runs


def _kind(info: str) -> Kind:
    tag = _TAG.match(info)
    word = tag[1].lower().rstrip(".-") if tag else ""
    if _PYTHON.fullmatch(word):
        return "python"
    if word in _MARKDOWN:
        return "markdown"
    return "other" if word in _OTHER else "plain"


def _opened_by_the_prompt(text: str, run: _Run, is_code: Callable[[str], bool]) -> Block | None:
    """The block that a prompt ending in a fence began: the text up to its first fence, if that is a program."""
    body = text[: run.start]
    first, _, rest = body.lstrip().partition("\n")
    if _PYTHON.fullmatch(first.strip().lower()):
        body = rest
    return Block("python", body, 0, run.end, True) if body.strip() and is_code(body) else None


def _block(text: str, runs: list[_Run], i: int, is_code: Callable[[str], bool]) -> tuple[Block | None, int]:
    """The block that run `i` opens, and the run at which to go on. None for marks in the middle of prose."""
    run = runs[i]
    mark, length = text[run.start], run.end - run.start
    ends = [
        j
        for j in range(i + 1, min(i + 1 + MAX_TRIES, len(runs)))
        if text[runs[j].start] == mark and runs[j].end - runs[j].start >= length
    ]
    if run.kind != "other":
        for j in ends:
            if (body := _program(text, run, runs[j].start, is_code)) is not None:
                return Block(run.kind, body, run.start, runs[j].end, True), j if runs[j].tagged else j + 1
        near_end = i + MAX_TRIES >= len(runs)
        if near_end and (body := _program(text, run, len(text), is_code)) is not None:
            return Block(run.kind, body, run.start, len(text), False), len(runs)
    if not run.first and not run.tagged:
        return None, i + 1
    proper = [j for j in ends if runs[j].first] or ends
    if not proper:
        return Block(run.kind, _bodies(text, run, len(text))[0], run.start, len(text), False), len(runs)
    j = proper[0]
    return Block(run.kind, _bodies(text, run, runs[j].start)[0], run.start, runs[j].end, True), (
        j if runs[j].tagged else j + 1
    )


def _program(text: str, run: _Run, stop: int, is_code: Callable[[str], bool]) -> str | None:
    return next((body for body in _bodies(text, run, stop) if is_code(body)), None)


def _bodies(text: str, run: _Run, stop: int) -> list[str]:
    """Possible contents of a block: the lines below the fence; the same with the text on its line, tag or no tag."""
    line_end = text.find("\n", run.end, stop)
    below = text[line_end + 1 : stop] if line_end >= 0 else ""
    whole = text[run.end : stop]
    bodies = [below, whole.lstrip(" \t")]
    if tag := _TAG.match(whole):
        bodies.append(whole[tag.end() :].lstrip(" \t"))
    if run.quoted:
        bodies = [re.sub(r"^[ \t]{0,8}> ?", "", body, flags=re.M) for body in bodies]
    return bodies if run.info.strip() else bodies[:1]
