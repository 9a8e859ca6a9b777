from __future__ import annotations

from pathlib import Path

import pytest

from crestfall.core.errors import ConfigError
from crestfall.store import yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8e-4", 0.0008),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("010", 10),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("no", "no"),
        ("on", "on"),
        ("none", "none"),
        ("true", True),
        ("~", None),
        ("", None),
        ("e4", "e4"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_mean_what_they_look_like(text: str, value: object) -> None:
    assert yaml.parse(f"x: {text}", "f") == {"x": value}
    assert type(yaml.parse(f"x: {text}", "f")["x"]) is type(value)


def test_a_mapping_may_be_merged_into_another() -> None:
    text = "base: &base {lr: 1e-3, steps: 5}\nother: {<<: *base, steps: 7}"
    assert yaml.parse(text, "f") == {"base": {"lr": 1e-3, "steps": 5}, "other": {"lr": 1e-3, "steps": 7}}
    nested = "a: &a {x: 1}\nouter: {inner: &b {<<: *a, x: 2}}\nc: {<<: *b, y: 3}"
    assert yaml.parse(nested, "f")["c"] == {"x": 2, "y": 3}
    for twice in ("{<<: *base, b: 1, b: 2}", "{<<: *base, <<: *base}"):
        with pytest.raises(ConfigError, match="given twice"):
            yaml.parse(f"base: &base {{a: 1}}\nother: {twice}", "f")


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3", "b:\n  c: 1\n  c: 1"])
def test_a_key_given_twice_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"f.yaml, line 3: key '[ac]' is given twice"):
        yaml.parse(text, "f.yaml")


def test_no_object_can_be_made_by_a_tag() -> None:
    with pytest.raises(ConfigError):
        yaml.parse("x: !!python/object/apply:os.system ['true']", "f.yaml")


@pytest.mark.parametrize("content", [b"- 1\n- 2\n", b"a: [1\n", b"\xff\xfe\x00", b""])
def test_a_file_that_holds_no_options_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"odd\.yaml"):
        yaml.load(path)


def test_overrides_nest_and_later_ones_win() -> None:
    words = ["update.learning_rate=8e-4", "seed=3", "seed=4", "control={name: fixed}", "control.step=2"]
    assert yaml.overrides(words) == {
        "update": {"learning_rate": 0.0008},
        "seed": 4,
        "control": {"name": "fixed", "step": 2},
    }


@pytest.mark.parametrize("word", ["seed", "=3", "a..b=1", "a.=1", "x=[1"])
def test_an_override_that_is_none_is_named(word: str) -> None:
    with pytest.raises(ConfigError, match=r"expected an override|x=\[1"):
        yaml.overrides([word])


def test_another_component_does_not_inherit_options() -> None:
    base = {"control": {"name": "early_stop", "margin": 5}, "seed": 1}
    assert yaml.merge(base, {"control": {"name": "none"}}) == {"control": {"name": "none"}, "seed": 1}
    assert yaml.merge(base, {"control": {"name": "early_stop", "then": "go_on"}})["control"]["margin"] == 5
    assert yaml.merge(base, {"control": {"margin": 2}})["control"] == {"name": "early_stop", "margin": 2}
