from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field

from crestfall.control.early_stop import EarlyStop
from crestfall.core.build import Kind, build, component, default, options, plain, summary
from crestfall.core.errors import ConfigError
from crestfall.store.files import digest


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    """How fast."""


@dataclass(frozen=True)
class Outer:
    """An outer thing.

    With a second paragraph.
    """

    unset: ClassVar[str]

    size: Annotated[int, Field(ge=1)]
    """How many,
    on two lines."""
    mode: Literal["a", "b"] = "a"
    seeds: tuple[int, ...] = (1, 2)
    weights: Path | None = None
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    control: Annotated[object, Kind("control")] = field(default_factory=default("control", "none"))


def test_plain_data_becomes_an_object_and_back() -> None:
    given = {
        "size": 3,
        "mode": "b",
        "seeds": [4],
        "weights": "a/b",
        "inner": {"rate": 1},
        "maybe": {"rate": 2.5},
        "control": {"name": "early_stop", "margin": 5},
    }
    built = build(Outer, given)
    assert built.seeds == (4,)
    assert built.weights == Path("a/b")
    assert built.maybe == Inner(2.5)
    assert built.control == EarlyStop(margin=5)
    assert build(Outer, plain(built)) == built
    assert next(iter(plain(built)["control"])) == "name"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 1, "mood": "a"}, r"mood: no such option; did you mean 'mode'\?; options here: size, mode"),
        ({}, "size: has to be given"),
        ({"size": 0}, "size: should be greater than or equal to 1, found 0"),
        ({"size": "3"}, "size: should be a valid integer, found '3'"),
        ({"size": True}, "size: should be a valid integer, found True"),
        ({"size": 1, "mode": "c"}, "mode: should be 'a' or 'b', found 'c'"),
        ({"size": 1, "seeds": [1, "x"]}, "seeds.1: should be a valid integer, found 'x'"),
        ({"size": 1, "inner": {"rate": "fast"}}, "inner.rate: should be a valid number, found 'fast'"),
        ({"size": 1, "inner": {"rate": float("nan")}}, "inner.rate: expected plain finite data"),
        ({"size": 1, "inner": 3}, "inner: expected options"),
        ({"size": 1, "maybe": {"rat": 1}}, r"maybe.rat: no such option; did you mean 'rate'\?"),
        ({"size": 1, "control": "none"}, "control: expected {name: NAME"),
        ({"size": 1, "control": {"name": "early_stpo"}}, "control.name: .*did you mean 'early_stop'"),
        ({"size": 1, "control": {"name": "early_stop", "margn": 1}}, r"control.margn: .*did you mean 'margin'\?"),
        ({"size": 1, "control": {"name": "early_stop", "reading": "budget", "then": "go_on"}}, "control: then: go_on"),
    ],
)
def test_what_cannot_be_used_is_named(given: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Outer, given)


def test_none_is_a_value_where_it_may_be() -> None:
    assert build(Outer, {"size": 1, "weights": None, "maybe": None}) == Outer(1)


def test_options_are_documented_at_their_fields() -> None:
    size, mode, *rest = options(Outer)
    assert (size.name, size.type, size.required, size.doc) == ("size", "int >= 1", True, "How many, on two lines.")
    assert (mode.type, mode.required, mode.default, mode.doc) == ("'a' | 'b'", False, "a", "")
    assert [option.type for option in rest] == ["list of int", "Path | none", "Inner", "Inner | none", "control"]
    assert summary(Outer) == "An outer thing."


def test_types_are_shown_as_people_write_them() -> None:
    types = {option.name: option.type for option in options(EarlyStop)}
    assert types["patience"] == "int >= 1 | none"


def test_digest_does_not_see_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1}) != digest({"b": [2, 1], "a": 1})


def test_component_without_a_class_of_that_name() -> None:
    with pytest.raises(ConfigError, match="no such kind"):
        component("contrl", {"name": "none"})
