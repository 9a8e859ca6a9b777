"""Read the header of a tiny policy's weights without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from crestfall.core.errors import InputError


def header(path: Path) -> dict[str, Any]:
    """`shape`, `vocabulary`, `about`. Raises InputError for a file that holds no tiny policy."""
    try:
        with safe_open(path, framework="np") as file:
            meta: dict[str, Any] = json.loads((file.metadata() or {})["crestfall"])
            tensors = set(file.keys())
        sound = isinstance(meta["shape"], dict) and isinstance(meta["vocabulary"], list) and bool(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"no entry {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        raise InputError(f"{path}: not the weights of a tiny policy ({reason})") from error
    if not sound:
        raise InputError(f"{path}: not the weights of a tiny policy (its header is damaged)")
    return meta


def vocabulary(path: Path) -> list[str]:
    """The tokens that the policy knows. Raises InputError as `header` does."""
    return list(header(path)["vocabulary"])
