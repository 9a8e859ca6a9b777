"""Text that nobody vouches for, made fit to be shown: what a policy wrote, a prompt, a path, a reason.

Escaping for HTML is the template's work (autoescape); this module makes sure that what is shown is what is there: no
control character acts, no bidirectional override reorders a line, nothing is longer than the page can bear.
"""

from __future__ import annotations

import shlex
import string
import unicodedata

# Marks stacked higher than this on one character leave their line and cover others.
MAX_COMBINING = 3
_KEPT = frozenset("\n\t")
_INVISIBLE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_COMBINING = frozenset(("Mn", "Me"))
_PLAIN = frozenset(string.ascii_letters + string.digits + " /._-+=,:@%")


def visible(text: str, limit: int = 2_000, lines: int | None = None) -> str:
    """`text` with every character that would act or hide written out, cut at `limit` characters and at `lines` lines.

    C0 controls become control pictures (NUL: ␀), other controls, format characters (bidi overrides, zero width),
    surrogates, private and unassigned code points become escapes like `\\u202e`. Newlines and tabs stay. Where
    something is cut off, a last line says how much. Without `lines`, the result is one line: newlines become ⏎.
    """
    kept = text[:limit]
    if lines is None:
        kept = kept.replace("\r\n", "\n").replace("\n", " ⏎ ").replace("\t", " ")
    else:
        kept = "\n".join(kept.split("\n", lines)[:lines])
    shown = _written_out(kept)
    missing = len(text) - len(kept) if lines is not None else max(0, len(text) - limit)
    if not missing:
        return shown
    return f"{shown}{' ' if lines is None else chr(10)}… {missing:,} more characters"


def for_shell(path: object) -> str:
    """`path` as a word to paste into a shell: bash and zsh read `$'...'` as it was."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    held = text.encode("utf-8", "surrogateescape")  # a name that is not UTF-8, as Python's paths hold it
    return "$'" + "".join(chr(b) if chr(b) in _PLAIN else f"\\x{b:02x}" for b in held) + "'"


def _written_out(text: str) -> str:
    out: list[str] = []
    stacked = 0
    for character in text:
        category = unicodedata.category(character)
        stacked = stacked + 1 if category in _COMBINING else 0
        hidden = category in _INVISIBLE and character not in _KEPT
        out.append(_escape(character) if hidden or stacked > MAX_COMBINING else character)
    return "".join(out)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
