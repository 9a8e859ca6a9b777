"""Frozen dataclasses from plain data and back: strictly, with errors that name the key.

Configuration files and components are built here, and nothing else decides what an option may be: the type at the
field does (pydantic checks it). An option is documented by the string under its field, which `options` reads for
`crestfall list`.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import itertools
import json
import math
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import pydantic

from crestfall.core.errors import ConfigError
from crestfall.core.registry import lookup, nearest

T = TypeVar("T")
LARGEST = 1e30
INT64 = 2**63
"""A bound of this size says that a number fits into 64 bits, and is not shown."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Marks a field that holds a component: `Annotated[Controller, Kind("control")]`, written `{name: ..., option:
    ...}`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a component or section, as `crestfall list` shows it. `default` is None where there is none."""

    name: str
    type: str
    default: Any
    required: bool
    doc: str


# --- from plain data ------------------------------------------------------------------------------------------------


def build(cls: type[T], data: object, where: str = "") -> T:
    """A `cls` whose fields are the entries of `data`; `where` is the dotted key that leads here.

    Raises:
        ConfigError: an unknown or missing key, a wrong type, a value out of range.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where or 'configuration'}: expected options (key: value), found {data!r}")
    hints = type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls)) if field.init}
    values = {}
    for key, value in data.items():
        if key not in fields:
            known = ", ".join(fields) or "none"
            raise ConfigError(
                f"{_dotted(where, key)}: no such option{nearest(str(key), fields)}; options here: {known}"
            )
        values[key] = _value(hints[key], value, _dotted(where, key))
    for name, field in fields.items():
        if name not in values and _required(field):
            raise ConfigError(f"{_dotted(where, name)}: has to be given")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}" if where else str(error)) from None


def component(kind: str, data: object, where: str = "") -> Any:
    """The component that `{name: ..., option: value}` describes. Raises ConfigError as `build` does."""
    where = where or kind
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ConfigError(f"{where}: expected {{name: NAME, option: value ...}}, found {data!r}")
    options = {key: value for key, value in data.items() if key != "name"}
    return build(lookup(kind, data["name"]), options, where)


def default(kind: str, name: str) -> Callable[[], Any]:
    """A `default_factory` for a field of kind `kind`: component `name` with its own defaults."""
    return lambda: lookup(kind, name)()


def _value(hint: Any, value: object, where: str) -> Any:
    if get_origin(hint) is Annotated:
        for mark in get_args(hint)[1:]:
            if isinstance(mark, Kind):
                return component(mark.kind, value, where)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type[Any], hint), value, where)
    if get_origin(hint) in (types.UnionType, typing.Union) and value is not None:
        section = next((arg for arg in get_args(hint) if dataclasses.is_dataclass(arg)), None)
        if section is not None:
            return build(typing.cast(type[Any], section), value, where)
    return _checked(hint, value, where)


def _checked(hint: Any, value: object, where: str) -> Any:
    large = _too_large(value)
    if large is not None:
        raise ConfigError(f"{where}: expected a number below {LARGEST:g} in size, found {str(large)[:40]}")
    # Through JSON: strict mode then still takes a list for a tuple and a string for an enum, but no "5" for 5.
    try:
        return _adapter(hint).validate_json(json.dumps(value, allow_nan=False), strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        at = _dotted(where, *first["loc"]) if isinstance(value, list | dict) else where
        message = first["msg"].replace("Input should be", "should be").replace("Value error, ", "")
        raise ConfigError(f"{at}: {message}, found {first['input']!r}") from None
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: expected plain finite data, found {value!r}") from None


def _too_large(value: object) -> object | None:
    """A number in plain data that no computation in single precision would survive."""
    if isinstance(value, Mapping | list):
        entries = value.values() if isinstance(value, Mapping) else value
        return next((found for entry in entries if (found := _too_large(entry)) is not None), None)
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) == math.inf:
        return None  # infinity has a line of its own
    return value if abs(value) > LARGEST else None


def type_hints(cls: Any) -> dict[str, Any]:
    """The types of a class's fields, read once: a study of a thousand cells builds the same classes as often, and
    `_adapter` knows a hint again only where it is the same object."""
    return _type_hints(cls)


@functools.cache
def _type_hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


@functools.cache
def _adapter(hint: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(hint)


def _dotted(where: str, *parts: object) -> str:
    return ".".join([where, *map(str, parts)] if where else list(map(str, parts)))


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


# --- to plain data --------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """The JSON-able data that `build` makes an equal object of. A component's `name` comes first."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = getattr(type(value), "name", None)
        options = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        return {"name": name, **options} if isinstance(name, str) else options
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [plain(entry) for entry in value]
    if isinstance(value, enum.Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value


# --- documentation --------------------------------------------------------------------------------------------------


def options(cls: type[Any]) -> list[Option]:
    """The options of a dataclass with their types, defaults and the strings under their fields."""
    docs, hints = _field_docs(cls), type_hints(cls)
    return [
        Option(field.name, _type_name(hints[field.name]), *_default_of(field), docs.get(field.name, ""))
        for field in dataclasses.fields(cls)
        if field.init
    ]


def summary(cls: type[Any]) -> str:
    """The first paragraph of a class's docstring, on one line."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return " ".join(text.split("\n\n")[0].split())


def _default_of(field: dataclasses.Field[Any]) -> tuple[Any, bool]:
    if field.default is not dataclasses.MISSING:
        return plain(field.default), False
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory()), False
    return None, True


def _type_name(hint: Any) -> str:
    """A type as people write it: `int >= 1`, `'a' | 'b'`, `list of str`, `control`."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        kind = next((mark.kind for mark in marks if isinstance(mark, Kind)), None)
        bounds = [bound for mark in marks for bound in getattr(mark, "metadata", [])]
        return kind or _type_name(inner) + "".join(_bound(bound) for bound in bounds)
    if get_origin(hint) is Literal:
        return " | ".join(repr(value) for value in get_args(hint))
    if get_origin(hint) in (types.UnionType, typing.Union):
        return " | ".join(_type_name(arg) for arg in get_args(hint))
    if hint is types.NoneType:
        return "none"
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,):
        return f"list of {_type_name(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        return "mapping"
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")


def _bound(mark: Any) -> str:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = {sign: getattr(mark, name) for name, sign in signs.items() if hasattr(mark, name)}
    return "".join(f" {sign} {bound}" for sign, bound in bounds.items() if abs(bound) < INT64)


def _field_docs(cls: type[Any]) -> dict[str, str]:
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):  # made at run time: has no source
            continue
        body = typing.cast(ast.ClassDef, ast.parse(source).body[0]).body
        for field, doc in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(doc, ast.Expr):
                text = doc.value.value if isinstance(doc.value, ast.Constant) else None
                if isinstance(text, str):
                    docs[field.target.id] = " ".join(text.split())
    return docs
