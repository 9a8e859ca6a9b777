"""JSON Schema of dataclasses and components, from the types that `build` checks options with.

An editor completes and checks with it what the command line will accept. A file may leave out what the command line
adds (`crestfall run mbpp_hf policy.model=...`), so nothing is required; and what a class checks beyond its types
(`__post_init__`, files that have to be there) only the command line knows.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, get_args, get_origin

import pydantic

from crestfall.core.build import LARGEST, Kind, options, type_hints
from crestfall.core.registry import components

Schema = dict[str, Any]
DIALECT = "http://json-schema.org/draft-07/schema#"


class Definitions:
    """Schemas by name, so that each section and component stands once; they belong under the key `definitions`."""

    def __init__(self) -> None:
        self.all: dict[str, Schema] = {}

    def section(self, cls: type[Any]) -> Schema:
        """A reference to the schema of a dataclass."""
        name = f"{cls.__module__}.{cls.__qualname__}".removeprefix("crestfall.")
        return self._defined(name, lambda: closed(self.fields(cls)))

    def component(self, kind: str) -> Schema:
        """A reference to the schema of any component of a kind: the options of the one that it names, or, where it
        names none and changes the one that stands there already, of any."""
        return self._defined(kind, lambda: self._any(kind))

    def fields(self, cls: type[Any]) -> dict[str, Schema]:
        """The schemas of a dataclass's options, by name."""
        hints = type_hints(cls)
        found = {}
        for option in options(cls):
            schema = self._value(hints[option.name])
            schema = {"allOf": [schema]} if "$ref" in schema else schema  # draft 7 reads nothing beside a reference
            if option.doc:
                schema |= {"description": option.doc}
            if not option.required and not isinstance(option.default, dict):
                schema |= {"default": option.default}
            found[option.name] = schema
        return found

    def _any(self, kind: str) -> Schema:
        each = {}
        for name, cls in components(kind).items():
            properties = {"name": {"const": name}, **self.fields(cls)}
            each[name] = self._defined(f"{kind} {name}", partial(closed, properties))
        named = [
            {"if": {"properties": {"name": {"const": name}}, "required": ["name"]}, "then": schema}
            for name, schema in each.items()
        ]
        named.append({"if": {"not": {"required": ["name"]}}, "then": {"anyOf": list(each.values())}})
        return {"type": "object", "properties": {"name": {"enum": list(each)}}, "allOf": named}

    def _value(self, hint: Any) -> Schema:
        if get_origin(hint) is Annotated:
            for mark in get_args(hint)[1:]:
                if isinstance(mark, Kind):
                    return self.component(mark.kind)
        if dataclasses.is_dataclass(hint):
            return self.section(typing.cast(type[Any], hint))
        parts = get_args(hint) if get_origin(hint) in (types.UnionType, typing.Union) else ()
        if any(dataclasses.is_dataclass(part) for part in parts):
            return {"anyOf": [self._value(part) for part in parts]}
        schema: Schema = _finite(pydantic.TypeAdapter(hint).json_schema())
        return schema

    def _defined(self, name: str, make: Callable[[], Schema]) -> Schema:
        if name not in self.all:
            self.all[name] = make()
        return {"$ref": f"#/definitions/{name.replace(' ', '%20')}"}


def closed(properties: dict[str, Schema]) -> Schema:
    """The schema of a mapping with these keys and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _finite(schema: Any) -> Any:
    """Numbers no larger than options may be; without pydantic's titles and formats, which say nothing here."""
    if isinstance(schema, list):
        return [_finite(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _finite(value) for key, value in schema.items() if key not in ("title", "format")}
    if out.get("type") == "number":
        low = {} if "exclusiveMinimum" in out else {"minimum": -LARGEST}
        high = {} if "exclusiveMaximum" in out else {"maximum": LARGEST}
        return low | high | out
    return out
