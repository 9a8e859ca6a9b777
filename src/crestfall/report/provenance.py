"""Provenance of the numbers: configuration, versions, machine, sandbox, and the command that repeats the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crestfall.analysis.trajectory import Run
from crestfall.core.text import for_shell, visible

CONFIG_CHARACTERS = 12_000
MOST_FACTS = 60
MOST_TYPED = 2_000


@dataclass(frozen=True)
class Provenance:
    """`facts` are name and value; `config` is the first run's configuration as JSON; `rerun` is a command line."""

    facts: tuple[tuple[str, str], ...]
    config: str
    rerun: str


def provenance(runs: Sequence[Run], verb: str, command: object) -> Provenance:
    """Provenance of the runs. Facts on which they differ are listed with all their values. `command`: the
    words after `crestfall`, as they were recorded."""
    collected: dict[str, list[str]] = {}
    for run in runs:
        for name, value in _facts(run).items():
            if value not in collected.setdefault(name, []):
                collected[name].append(value)
    facts = tuple((visible(name, 60), visible(" · ".join(values[:6]), 400)) for name, values in collected.items())
    config = json.dumps(_plain(runs[0].config), indent=1, default=str) if runs and runs[0].config else ""
    return Provenance(facts[:MOST_FACTS], visible(config, CONFIG_CHARACTERS, lines=600), _rerun(verb, command))


def _rerun(verb: str, command: object) -> str:
    """The command line that a run or study was made with, to be pasted; none where it was not recorded, or could not be
    shown as it was typed."""
    if not isinstance(command, list) or command[:1] != [verb]:
        return ""
    try:
        typed = " ".join(("crestfall", *map(for_shell, command)))
    except UnicodeEncodeError:  # half a character, which nobody typed
        return ""
    return typed if visible(typed, MOST_TYPED) == typed else ""


def _facts(run: Run) -> dict[str, str]:
    facts = {"config digest": run.config_digest[:16], "status": run.status}
    if run.error:
        facts["error"] = run.error
    facts |= _flat({name: value for name, value in run.provenance.items() if name != "command"})
    return {name: value for name, value in facts.items() if value}


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested mappings as `a b`, lists joined by commas."""
    out: dict[str, str] = {}
    for key, value in data.items():
        name = f"{prefix} {key}".strip()
        if isinstance(value, Mapping):
            out |= _flat(value, name)
        elif isinstance(value, list | tuple):
            out[name] = ", ".join(str(item) for item in value)
        elif value is not None:
            out[name] = str(value)
    return out


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in config.items()}
