"""The JSON Schema of configurations: what ships is valid, what the command line refuses by its types is not, and what
it accepts is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crestfall.core.build import build, options
from crestfall.core.errors import ConfigError
from crestfall.core.registry import components
from crestfall.store import yaml
from crestfall.testbed.config import RunConfig, find, resolved, shipped

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[3]
SCHEMA = Path(find("quickstart")).with_name("schema.json")
FILES = [*(Path(find(name)) for name in shipped()), *sorted((ROOT / "research" / "studies").glob("*.yaml"))]


@pytest.fixture(scope="module")
def errors() -> Any:
    validator = jsonschema.Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    return lambda data: [f"{'.'.join(map(str, e.path))}: {e.message[:200]}" for e in validator.iter_errors(data)]


def test_what_ships_is_what_the_types_say() -> None:
    command = [sys.executable, "-m", "crestfall", "list", "config", "--schema"]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made == SCHEMA.read_text(encoding="utf-8"), "crestfall list config --schema > .../configs/schema.json"
    jsonschema.Draft7Validator.check_schema(json.loads(made))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_configuration_that_ships_is_valid_and_leads_an_editor_to_the_schema(file: Path, errors: Any) -> None:
    assert errors(yaml.load(file)) == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text(encoding="utf-8"))
    assert named is not None
    assert (file.parent / named[1]).resolve() == SCHEMA.resolve()


BAD: list[dict[str, Any]] = [
    {"campaign": {"stesp": 3}},
    {"campaign": {"steps": 0}},
    {"campaign": {"steps": "3"}},
    {"campaign": {"restore": "nothing"}},
    {"campaign": 3},
    {"campain": {}},
    {"seed": 1.5},
    {"seed": None},
    {"plugins": "mine"},
    {"chain": {"problems": "others"}},
    {"chain": {"revisit": 0}},
    {"chain": {"final": True}},
    {"control": {"name": "fixd"}},
    {"control": {"name": "none", "margin": 3}},
    {"control": {"name": "early_stop", "margin": 0}},
    {"control": "early_stop"},
    {"update": {"name": "reinforce", "learning_rate": "fast"}},
    {"update": {"name": "reinforce", "learning_rate": 1e300}},
    {"update": {"name": "reinforce", "kl": {"name": "nope"}}},
    {"update": {"name": "reinforce", "pace": {"name": "kl", "budgett": 1}}},
    {"update": {"no_option_of_any_rule": 1}},
    {"policy": {"name": "tiny", "model": "x"}},
    {"grader": {"workers": "2"}},
    {"engine": {"name": "native", "threads": 100_000}},
]
BAD_STUDIES: list[dict[str, Any]] = [
    {"seeds": [0], "methods": {}},
    {"seeds": ["a"], "methods": {"a": {}}},
    {"seeds": [0], "methods": {"a/b": {}}},
    {"seeds": [0], "methods": {"a": {"seed": 1}}},
    {"seeds": [0], "methods": {"a": {"method": "x"}}},
    {"seeds": [0], "methods": {"a": {"campaign": {"steps": 0}}}},
    {"seeds": [0], "methods": {"a": {"update": {"name": "rlo"}}}},
    {"seeds": [0], "methods": {"a": {}}, "seed": 1},
    {"seeds": [0], "methods": {"a": {}}, "method": "a"},
    {"seeds": [0], "methods": {"a": {}}, "workers": -1},
]


@pytest.mark.parametrize("data", BAD + BAD_STUDIES, ids=json.dumps)
def test_what_is_wrong_is_not_valid(data: dict[str, Any], errors: Any) -> None:
    assert errors(data)
    if data in BAD:
        with pytest.raises(ConfigError):
            build(RunConfig, data)


def test_what_the_command_line_accepts_is_valid(errors: Any) -> None:
    """Every component with every option at its default, as a run directory stores it, and each alone in a file."""
    for kind in ("tasks", "policy", "update", "control", "care", "engine"):
        for name, cls in components(kind).items():
            if not cls.__module__.startswith("crestfall."):
                continue  # other tests register theirs, and what ships does not know of them
            needed = {option.name: "x" for option in options(cls) if option.required or option.name == "path"}
            config = build(RunConfig, {kind: {"name": name, **needed}})
            assert errors(resolved(config)) == [], name
            assert errors({"seeds": [0], "methods": {"a": {kind: {"name": name}}}}) == []


def test_a_method_changes_an_option_without_naming_the_component(errors: Any) -> None:
    assert errors({"seeds": [0], "methods": {"a": {"control": {"margin": 2}, "seeds": [3]}}, "control": {}}) == []


def test_a_study_of_regimes_is_valid(errors: Any) -> None:
    study = {
        "seeds": [1],
        "regimes": {"hot": {"update": {"learning_rate": 0.1}}},
        "methods": {"naive": {}, "mine": "mine.yaml", "few": {"regimes": ["hot"]}},
    }
    assert not errors(study)
    assert errors(study | {"regimes": {"hot": {"seeds": [1]}}})
    assert errors(study | {"methods": {"few": {"regimes": "hot"}}})
