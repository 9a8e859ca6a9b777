"""CARE's options of version 0.1, where all of its parts stood side by side, in the parts of now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from crestfall.control.care.belief import Belief
from crestfall.control.care.gate import Gate, Response
from crestfall.control.care.memory import Recollection

_PARTS = {"gate": Gate, "memory": Recollection, "belief": Belief, "response": Response}


def in_parts(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options of a care component, every one of version 0.1 where it stands now; others are left as they are."""
    flat = {field.name: part for part, cls in _PARTS.items() for field in fields(cls)}
    if not any(key in flat for key in options):
        return options
    out: dict[str, Any] = {}
    for key, value in options.items():
        if key == "memory" and not isinstance(value, Mapping):
            out.setdefault("memory", {})["file"] = value
        elif key in flat:
            out.setdefault(flat[key], {})[key] = value
        else:
            out[key] = value
    return out
