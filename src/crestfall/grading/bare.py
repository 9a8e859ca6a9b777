"""Code that stands in an answer without fences: the statements among its lines that parse, prose left out.

The text is cut at every line that begins at the left margin and can begin a statement. Each piece is parsed once, so
the time is linear.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Callable

from crestfall.grading.source import Checker, defines, typed

_GOES_ON = re.compile(r"[)\]}]|(?:else|elif|except|finally|case)\b[^\n]*:")
_TRIPLE = re.compile(r"\"\"\"|'''")
_INLINE = re.compile(r"(?<!`)`([^`\n]{3,400})`(?!`)")


def runs_of(text: str, check: Checker, continues: Callable[[str], bool]) -> list[str]:
    """Stretches of code in the order in which they stand, each of consecutive statements; first what `continues` says
    is the rest of what the prompt began."""
    runs: list[str] = []
    current: list[str] = []

    def close() -> None:
        if any(check.code(piece) for piece in current):
            runs.append("\n".join(current).rstrip("\n") + "\n")
        current.clear()

    pieces = _pieces(text.strip("\n").split("\n"))
    if not check.valid(pieces[0]) and continues(pieces[0]):
        runs.append(pieces.pop(0).rstrip("\n") + "\n")
    for piece in pieces:
        tree = check.tree(piece)
        if tree is not None and not check.idle(piece) and not check.prosaic(piece):
            current.append(piece)
            continue
        close()
        # A sentence with an indented program below it.
        below = textwrap.dedent(piece.partition("\n")[2])
        if tree is None and (code := check.mended(below)):
            current.append(code)
            close()
    close()
    return runs


def _pieces(lines: list[str]) -> list[str]:
    pieces: list[list[str]] = []
    open_text = False
    for line in lines:
        before = pieces[-1][-1] if pieces else ""
        begins = bool(line[:1].strip()) and not open_text and not _GOES_ON.match(line)
        if not pieces or (
            begins and not before.startswith("@") and not before.rstrip().endswith(("(", "[", "{", ",", "\\"))
        ):
            pieces.append([line])
        else:
            pieces[-1].append(line)
        open_text ^= len(_TRIPLE.findall(line)) % 2 == 1
    return ["\n".join(piece) for piece in pieces]


_HTML = re.compile(
    r"<pre\b[^>]{0,200}>\s*(?:<code\b[^>]{0,200}>)?(.*?)(?:</(?:code|pre)>|\Z)"
    r"|<code\s[^>]{1,200}>(.*?)(?:</code>|\Z)",
    re.S | re.I,
)
_QUOTED = re.compile(r"^(\"\"\"|''')(?:python|py)3?\n(.*?)(?:^\1|\Z)", re.S | re.M | re.I)
_PROMPTED = re.compile(r"^[ \t]*(?:>>>|In \[\d+\]:).*(?:\n[ \t]*(?:\.\.\.|\.{3,}:).*)*", re.M)


def page_code(text: str) -> list[str]:
    """Code on a page of HTML, or in quotes as in a fence."""
    shown = [html.unescape(match[1] or match[2] or "") for match in _HTML.finditer(text)]
    return shown or [match[2] for match in _QUOTED.finditer(text)]


def transcript(text: str, check: Checker, names: frozenset[str]) -> str | None:
    """The program that was typed at Python's prompt, without the calls that tried it out; None where none was."""
    pieces = [typed(match[0]) for match in _PROMPTED.finditer(text)]
    code = "".join(piece for piece in pieces if check.valid(piece) and not (names and check.expression(piece)))
    starts = defines(code, names, imports=False) if names else reads_input(code)
    return code if starts and check.code(code) else None


def inline_code(text: str, check: Checker, names: frozenset[str]) -> list[str]:
    """Code in the middle of prose, the last resort: in single backticks, or behind a colon. It has to define one of
    the names, or read standard input where there are none."""
    found = [match[1] for match in _INLINE.finditer(text)]
    found += [html.unescape(part.partition("</code>")[0]) for part in text.split("<code>")[1:]]
    found += [line.partition(": ")[2] for line in text.split("\n") if ": " in line[:400]]
    return [code + "\n" for code in found if _wanted(code, names) and check.code(code)]


def _wanted(code: str, names: frozenset[str]) -> bool:
    return defines(code, names) if names else reads_input(code)


_READS = re.compile(r"\binput\s*\(|\bstdin\b|\bfileinput\b|\bopen\s*\(\s*0\b|/dev/stdin|\bread\s*\(\s*0\s*,")


def reads_input(code: str) -> bool:
    """Whether a program looks as if it read standard input."""
    return _READS.search(code) is not None
