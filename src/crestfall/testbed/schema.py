"""The JSON Schema of configuration files, runs and studies alike: `crestfall list config --schema`."""

from __future__ import annotations

from crestfall.core.schema import DIALECT, Definitions, Schema, closed
from crestfall.testbed.config import RunConfig, StudyConfig

# What tells the cells of a study apart: a study's file and its methods do not give it.
_OF_A_CELL = ("seed", "method")


def config_schema() -> Schema:
    """The schema of every component that is registered now: import plugins first to have theirs in it."""
    known = Definitions()
    run, study = known.fields(RunConfig), known.fields(StudyConfig)
    shared = {key: value for key, value in run.items() if key not in _OF_A_CELL}
    names = {"type": "array", "items": {"type": "string"}, "description": "The regimes that it is run in, not all."}
    known.all["method"] = closed({**shared, "seeds": study["seeds"], "regimes": names})
    named = {"type": "object", "propertyNames": {"pattern": r"^(?!\.)[A-Za-z0-9_+.-]+$"}}
    own = {"anyOf": [{"$ref": "#/definitions/method"}, {"type": "string", "description": "A YAML file that holds it."}]}
    methods = {**named, "description": study["methods"]["description"], "minProperties": 1, "additionalProperties": own}
    regimes = {
        **named,
        "description": "Run options by name: every method is run in each, its own options above the regime's.",
        "additionalProperties": closed(shared),
    }
    both = [{"required": [a, b]} for a in ("methods", "seeds") for b in _OF_A_CELL]
    return {
        "$schema": DIALECT,
        "title": "A run or a study of crestfall",
        **closed({**run, "seeds": study["seeds"], "methods": methods, "regimes": regimes, "workers": study["workers"]}),
        "not": {"anyOf": both},
        "definitions": known.all,
    }
