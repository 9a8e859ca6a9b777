"""YAML as people mean it: `8e-4` is a number, `no` is a word, and a key given twice is a mistake.

PyYAML speaks YAML 1.1, where those three go the other way; the loader here resolves scalars by the core schema of
YAML 1.2.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from crestfall.core.errors import ConfigError
from crestfall.store.files import endless

MOST_VALUES = 100_000
_DEEPEST = 50

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping as it was written, before `<<: *shared` is replaced."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key_node, _ in node.value:
            key = "<<" if key_node.tag == _MERGE else self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return node


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
# YAML 1.2 has no octal `010`: a leading zero changes nothing.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def parse(text: str, source: str) -> Any:
    """Plain data from YAML text; `source` is what an error names. Raises ConfigError."""
    try:
        data = yaml.load(text, _Loader)
        _check_plain(data, [MOST_VALUES])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{source}{line}: {_reason(error)}") from None
    except RecursionError:
        raise ConfigError(f"{source}: nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{source}: {' '.join(str(error).split())[:200]}") from None
    return data


def _reason(error: yaml.YAMLError) -> str:
    return " ".join(str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).split())


def _check_plain(data: Any, left: list[int], depth: int = 0) -> None:
    """Raises ValueError for what no option is: keys that are no words, other things than text and numbers, something
    that holds itself, or more values than a configuration ever has."""
    left[0] -= 1
    if left[0] < 0 or depth > _DEEPEST:
        raise ValueError(f"expected at most {MOST_VALUES:,} values, {_DEEPEST} levels deep")
    if isinstance(data, dict):
        for key, value in data.items():
            if not isinstance(key, str):
                raise ValueError(f"key {key!r}: expected a word")
            _check_plain(value, left, depth + 1)
    elif isinstance(data, list):
        for value in data:
            _check_plain(value, left, depth + 1)
    elif not isinstance(data, str | int | float | types.NoneType):
        raise ValueError(f"{str(data)[:40]!r} is a {type(data).__name__}, expected text, a number, true, false or null")


def load(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises ConfigError."""
    if endless(path):
        raise ConfigError(f"{path}: a device that never ends, expected a YAML file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    data = parse(text, str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected options (key: value), found {type(data).__name__}")
    return data


def overrides(words: Sequence[str]) -> dict[str, Any]:
    """`["update.learning_rate=8e-4", "seed=3"]` as nested options. Later words win. Raises ConfigError."""
    out: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"{word!r}: expected an override of the form key.key=value")
        value = parse(text, word)
        for part in reversed(key.split(".")):
            value = {part: value}
        out = merge(out, value)
    return out


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the options of `over`, section by section.

    Where `over` names another component (`name`), the options that `base` gave to the old one do not carry over.
    """
    if "name" in base and over.get("name", base["name"]) != base["name"]:
        return dict(over)
    out = dict(base)
    for key, value in over.items():
        old = out.get(key)
        out[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return out
