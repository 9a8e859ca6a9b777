"""Find a model's text in a string, a conversation, an API's answer, or lists of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from crestfall.core.errors import InputError

# Where APIs (OpenAI's chat, completions, responses and batches, Anthropic's, Gemini's) keep what was written; behind
# these, what a program is called in an object of its own, as Inspect and structured answers have it.
_INSIDE = (
    *("body", "choices", "candidates", "message", "messages", "output", "content", "text"),
    *("completion", "response", "code", "solution", "program", "generated_text", "answer", "kwargs"),
)


def texts_of(value: Any) -> list[str | None]:
    """Every sample in a value; None for one that was never written (an error of an API, a null).

    A conversation is one sample: its last message. A list of anything else is a list of samples.

    Raises InputError: a number, or an object without any of the known fields.
    """
    if value is None or isinstance(value, str):
        return [value]
    if isinstance(value, float) and value != value:  # what pandas writes for nothing
        return [None]
    if isinstance(value, Mapping):
        return _of_object(value)
    if not isinstance(value, (list, tuple)):
        raise InputError(f"{value!r:.60} is no text")
    if value and all(isinstance(item, Mapping) for item in value):
        if all("from" in item and "value" in item for item in value):  # ShareGPT's
            value = [{"role": item["from"], "content": item["value"]} for item in value]
        if any("role" in item or item.get("type") == "message" for item in value):
            said = [item for item in value if item.get("role") not in ("user", "system", "developer", "tool", "human")]
            return texts_of(said[-1]) if said else [None]
        if all(_is_part(item) for item in value):
            written = [item["text"] for item in value if isinstance(item.get("text"), str)]
            written += [_called(item["input"]) for item in value if item["type"] == "tool_use" and "input" in item]
            return ["".join(written)] if written else [None]
    return [text for item in value for text in texts_of(item)]


def text_of(value: Any) -> str:
    """The one text of a completion; the empty string where nothing was written. Raises InputError."""
    return next((text for text in texts_of(value) if text is not None), "")


def _called(arguments: Any) -> str:
    """A call of a tool, as models write it that have no field for it."""
    return f"\n<tool_call>\n{json.dumps(arguments)}\n</tool_call>\n"


def _is_part(item: Mapping[str, Any]) -> bool:
    """Whether this is a part of one message: text, reasoning, a tool call. A choice of `completions` is not."""
    return "type" in item and "message" not in item


def _of_object(value: Mapping[str, Any]) -> list[str | None]:
    if not value or value.get("error") or value.keys() == {"promptFeedback"}:
        return [None]
    if not value.get("content") and isinstance(calls := value.get("tool_calls"), list) and calls:
        return ["".join(_called(call.get("function")) for call in calls if isinstance(call, Mapping))]
    if isinstance(value.get("parts"), list):
        return ["".join(str(part.get("text") or "") for part in value["parts"] if isinstance(part, Mapping))]
    name = next((name for name in _INSIDE if value.get(name) is not None), None)
    if name is not None:
        return texts_of(value[name])
    if "role" in value or any(name in value for name in _INSIDE):
        return [None]
    raise InputError(f"expected an object with 'content', 'text' or the like, found {', '.join(map(repr, value))}")
