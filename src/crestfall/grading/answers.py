"""Find the answer in a model's text: drop the reasoning, later turns, and the text around a marked answer."""

from __future__ import annotations

import json
import re
from typing import Any

# Thinking, as the families of models mark it. A tag in quotes is somebody's text about tags.
_THINK = re.compile(
    r"(?<![\"'])(?<![^`]`)(?:"
    r"(?P<open><(?:think|thinking|thought|reasoning|reflection|scratchpad|seed:think)>|\[THINK\]|◁think▷"
    r"|<\|begin_of_thought\|>)"
    r"|(?P<close></(?:think|thinking|thought|reasoning|reflection|scratchpad|seed:think)>|\[/THINK\]|◁/think▷"
    r"|<\|end_of_thought\|>)"
    r")(?![\"']|`[^`])",
    re.I,
)
_FINAL = re.compile(r"<\|channel\|>final[^<]{0,40}<\|message\|>|(?<=assistant)final")
# The thinking of a channel, and what is left of it where special tokens are taken out: `analysisWe need`.
_CHANNEL = re.compile(r"<\|channel\|>.*?(?:<\|(?:end|return|call)\|>|\Z)|\Aanalysis(?=[A-Z]).*\Z", re.S)

# Tokens that end a text or a turn, left in by decoding without `skip_special_tokens`: at the start or end of a line, or
# right behind code without quotes.
_NAME = r"(?:end_?of_?text|im_end|eot_id|eom_id|eot|end|eos|return|fim_\w+|file_separator|endofprompt|end_of_turn)"
_TOKEN = rf"(?:<\|{_NAME}\|>|<｜end▁of▁sentence｜>|<(?:end_of_turn|eos|EOT|eod|pad)>|</s>|\[/?INST\])"
_CODE_BEFORE = r"^[^\"'`#\n]{0,400}[\w)\]}]"
_END = re.compile(rf"(?:^[ \t]{{0,8}}|{_CODE_BEFORE})(?P<end>{_TOKEN})|(?P<last>{_TOKEN})(?=[ \t]{{0,8}}$|<)", re.M)
_BEGIN = re.compile(
    r"\s*(?:(?:<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<bos>|<s>|<\|start_header_id\|>assistant<\|end_header_id\|>"
    r"|<\|im_start\|>assistant|<start_of_turn>model|<｜Assistant｜>|<\|assistant\|>|<\|start\|>assistant"
    r"|\[INST\].*?\[/INST\])\s*)+",
    re.S,
)

# Marks around an answer: (opening, closing, whether the first such part counts). A base model that is shown examples
# goes on with the next problem behind [DONE]; elsewhere the last part is what a model ends up with.
_MARKS = (
    (r"\[BEGIN\]", r"\[DONE\]", True),
    (r"\[PYTHON\]", r"\[/PYTHON\]", False),
    (r"<\|python_tag\|>", r"<\|eom_id\|>", False),
    (r"<answer>", r"</answer>", False),
    (r"<solution>", r"</solution>", False),
    (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>", False),
    (r"<code>", r"</code>", False),
    (r"<python>", r"</python>", False),
    (r"<parameter(?: name)?=\"?(?:content|code|file_text|program|solution)\"?>", r"</parameter>", False),
    (r"<!\[CDATA\[", r"\]\]>", False),
)
_JSON_MARKS = (("```json", "```"), ("<tool_call>", "</tool_call>"), ("[TOOL_CALLS]", "\0"), ("[ARGS]", "\0"))

_CODE_NAMES = ("code", "solution", "program", "answer", "content")


def answer_of(text: str) -> str:
    """The answer in a model's text, with line ends of one kind."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = _final(text)
    text = without_thinking(text)
    if begin := _BEGIN.match(text):
        text = text[begin.end() :]
    if end := _END.search(text):
        text = text[: end.start(end.lastgroup or 0)]
    for opening, closing, first in _MARKS:
        text = _marked(text, opening, closing, first)
    return _of_json(text)


def _of_json(text: str) -> str:
    """The code of an answer in JSON (`{"code": "..."}`, a tool's call, a notebook), as models write that are asked for
    structure. A block of Python beside it is the answer instead."""
    body = text.strip()
    for opening, closing in _JSON_MARKS:
        if opening in body and "```py" not in body:
            body = body.rpartition(opening)[2].partition(closing)[0].strip()
    if not body.startswith(("{", "[")):
        return text
    try:
        code = _code_in(json.loads(body))
    except (ValueError, RecursionError):
        return text
    return text if code is None else code


def _code_in(data: Any) -> str | None:
    """The first text under a name like `code` in JSON, however deep; the code cells of a notebook. Raises ValueError:
    arguments of a call that are not JSON."""
    if isinstance(data, list):
        cells = [cell.get("source", "") for cell in data if isinstance(cell, dict) and cell.get("cell_type") == "code"]
        if cells:
            return "\n".join("".join(cell) + "\n" for cell in cells)
        return next((code for item in data if (code := _code_in(item)) is not None), None)
    if not isinstance(data, dict):
        return None
    texts = {name.lower(): value for name, value in data.items() if isinstance(value, str)}
    inner = [json.loads(texts[name]) for name in ("arguments", "parameters", "input") if texts.get(name, "")[:1] == "{"]
    deeper = _code_in([*inner, *data.values()])
    named = [value for word in _CODE_NAMES for name, value in texts.items() if word in name]
    return deeper if deeper is not None else next(iter(named), None)


def _final(text: str) -> str:
    """Text of the final channel, where a model writes to channels; else the whole text."""
    finals = list(_FINAL.finditer(text)) if "<|channel|>" in text or text.startswith("analysis") else []
    return text[finals[-1].end() :] if finals else _CHANNEL.sub("", text)


def without_thinking(text: str) -> str:
    """A text without what a model wrote to itself. Thinking that is never closed goes on to the end; all that stands
    before a closing tag without an opening one is thinking that the prompt opened."""
    kept: list[str] = []
    start, thinking = 0, False
    for tag in _THINK.finditer(text):
        if tag["open"]:
            if not thinking:
                kept.append(text[start : tag.start()])
            thinking = True
        else:
            if not thinking:
                kept.clear()
            start, thinking = tag.end(), False
    return "".join(kept) + ("" if thinking else text[start:])


def _marked(text: str, opening: str, closing: str, first: bool) -> str:
    """The part between two marks that stand at the start of a line; the prompt may have opened it, or the end of the
    text cut it off. The text itself without such marks, or with nothing in them."""
    begins = [match.end() for match in re.finditer(rf"^[ \t]{{0,8}}{opening}", text, re.M)]
    begin = 0 if not begins else begins[0] if first else begins[-1]
    end = re.compile(rf"^[ \t]{{0,8}}{closing}", re.M).search(text, begin) or re.compile(closing).search(text, begin)
    if not begins and not end:
        return text
    part = text[begin : end.start() if end else len(text)]
    return part if part.strip() else text
