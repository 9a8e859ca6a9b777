"""The small objects of torch and Python that state dictionaries and tensor subclasses carry, as JSON, without pickle.

Decoding imports nothing: a class is looked up among the modules that the process has loaded anyway, and neither an
`__init__` nor a `__reduce__` of it is called.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any

from crestfall.core.errors import InputError

_TORCH_NAMES = ("dtype", "layout", "memory_format")
"""Types of torch whose values are attributes of the module: torch.float32, torch.strided ..."""

Code = Callable[[Any], Any]


def encode(node: Any, encode_part: Code) -> tuple[str, Any] | None:
    """(tag, JSON) for an object of one of these kinds, None for anything else. `encode_part` does what it holds."""
    torch = sys.modules.get("torch")
    if torch is not None:
        for name in _TORCH_NAMES:
            if isinstance(node, getattr(torch, name)):
                return f"torch.{name}", str(node).removeprefix("torch.")
        if isinstance(node, torch.device):
            return "torch.device", str(node)
        if isinstance(node, torch.Size):
            return "torch.Size", list(node)
    if isinstance(node, Enum):
        return "enum", [*class_name(type(node)), node.name]
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        fields = {f.name: encode_part(getattr(node, f.name)) for f in dataclasses.fields(node)}
        return "dataclass", [*class_name(type(node)), fields]
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return "namedtuple", [*class_name(type(node)), [encode_part(item) for item in node]]
    if isinstance(node, set | frozenset):
        return type(node).__name__, [encode_part(item) for item in sorted(node, key=repr)]
    return None


def decode(tag: str, value: Any, decode_part: Code) -> Any:
    """Inverse of `encode`.

    Raises:
        InputError: a tag that no encoder writes, or a class that this process has not loaded.
    """
    if tag in ("set", "frozenset"):
        return (set if tag == "set" else frozenset)(decode_part(item) for item in value)
    if tag == "enum":
        return loaded_class(value, Enum)[value[2]]
    if tag == "dataclass":
        kind = loaded_class(value, object)
        made = object.__new__(kind)
        for name, item in value[2].items():
            object.__setattr__(made, name, decode_part(item))
        return made
    if tag == "namedtuple":
        return tuple.__new__(loaded_class(value, tuple), [decode_part(item) for item in value[2]])
    if tag.startswith("torch."):
        import torch

        if tag == "torch.device":
            return torch.device(value)
        if tag == "torch.Size":
            return torch.Size(value)
        if tag.removeprefix("torch.") in _TORCH_NAMES:
            return getattr(torch, value)
    raise InputError(f"stored state holds an unknown tag {tag!r}: written by a newer crestfall?")


def class_name(kind: type) -> list[str]:
    """[module, qualified name], by which `loaded_class` finds it again."""
    return [kind.__module__, kind.__qualname__]


def loaded_class(name: list[Any], base: type) -> Any:
    """The class of a name that `class_name` gave.

    Raises:
        InputError: the module is not loaded, or what it has by that name is no such class.
    """
    found: Any = sys.modules.get(name[0])
    for part in str(name[1]).split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"stored state needs {name[0]}.{name[1]}, which this process has not loaded: import it first")
    return found
