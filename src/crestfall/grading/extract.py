"""Code out of a chat answer. The rule:

1. Fenced blocks (``` or ~~~). Those tagged python, py or python3 if there are any, else those without a tag; blocks of
other languages
   are never code. A fence that is not closed reaches to the end.
2. Of these, if an entry point is asked for: the last block that defines it, with the blocks before it that are needed
to compile
   it left out (an answer that corrects itself means its last version). Otherwise the last block.
3. Without any fence: the whole text if it parses as Python; else the longest stretch of lines that begins with an
import, a
   definition or a decorator at the left margin and parses.
4. Nothing of the kind: the empty string, which is graded `no_code`.
"""

from __future__ import annotations

import ast
import re

PYTHON = {"python", "py", "python3"}
MAX_PARSED = 50_000
MAX_TRIES = 200

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[ \t]*([^\n`]*)\n(.*?)(?:^[ \t]{0,3}\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_START = re.compile(r"(import|from|def|class|async def)\s|@")


def extract_code(answer: str, entry_point: str | None = None) -> str:
    """The program in a chat answer, or the empty string."""
    text = answer.replace("\r\n", "\n")
    blocks = [(match[2].strip().lower().split(" ")[0], match[3]) for match in _FENCE.finditer(text)]
    if blocks:
        python = [body for tag, body in blocks if tag in PYTHON] or [body for tag, body in blocks if not tag]
        return _chosen(python, entry_point)
    if parses(text):
        return text
    return _stretch(text.split("\n"))


def _chosen(blocks: list[str], entry_point: str | None) -> str:
    if entry_point is not None:
        defines = re.compile(rf"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(entry_point)}\b", re.M)
        blocks = [block for block in blocks if defines.search(block)] or blocks
    return blocks[-1] if blocks else ""


def _stretch(lines: list[str]) -> str:
    """The longest run of lines that starts like code and parses; a bounded number of runs is tried."""
    starts = [index for index, line in enumerate(lines) if _START.match(line)]
    tries = 0
    best = ""
    for start in starts[:MAX_TRIES]:
        ends = [end for end in range(len(lines), start, -1) if end == len(lines) or not lines[end][:1].isspace()]
        for end in ends:
            code = "\n".join(lines[start:end])
            tries += 1
            if len(code) <= len(best) or tries > MAX_TRIES:
                break
            if parses(code):
                best = code
                break
    return best


def parses(text: str) -> bool:
    """Whether a text is Python that does anything; never raises."""
    if len(text) > MAX_PARSED or not text.strip():
        return False
    try:
        return bool(ast.parse(text).body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
