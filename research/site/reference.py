"""The pages of the reference that are made from the code, so that none can be out of date: public names, the options
of every component, signals, the command line and its exit codes.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import crestfall
from crestfall.cli.list import describe, known
from crestfall.cli.main import EXIT_CODES, VERBS, parser
from crestfall.core.registry import kinds
from crestfall.core.signals import TABLE

KINDS = {
    "tasks": "Where the problems come from: `tasks.name`.",
    "policy": "The language model that is trained: `policy.name`.",
    "update": "The rule that turns graded samples into a gradient step: `update.name`.",
    "kl": "KL penalties, for any update rule: `update.kl.name`.",
    "ewc": "Fisher-weighted penalties, for any update rule: `update.ewc.name`.",
    "pace": "How far one step may move the policy: `update.pace.name`.",
    "control": "Controllers within a campaign, in the guard, the callback, `replay` and `watch`: `control.name`.",
    "care": "Controllers between campaigns: `care.name`.",
    "engine": "What holds weights and optimizer and does the work of a step: `engine.name`.",
    "importer": "Formats that `analyze`, `replay`, `watch` and `diff` read.",
    "config": "The sections of a configuration: a run, a study, a campaign, a chain, the grader's limits.",
}

SIGNALS = """\
What is measured at a step. The names are the same in `events.jsonl`, in trackers and for controllers. A signal that was
not measured is absent, never 0. `crestfall analyze` reads keys of other tools as these signals."""


def pages() -> dict[str, str]:
    """Every page by its name in the site."""
    made = {f"reference/options/{kind}.md": options(kind) for kind in [*kinds(), "config"]}
    return made | {
        "reference/api.md": api(),
        "reference/signals.md": signals(),
        "reference/command_line.md": command_line(),
    }


def api() -> str:
    """Public names, for mkdocstrings to fill in from their docstrings."""
    blocks = [f"::: crestfall.{name}\n    options:\n      heading_level: 2" for name in crestfall.__all__]
    intro = "Every name below is imported from the package itself: `from crestfall import Guard`."
    return "\n\n".join(["# Python", intro, *blocks]) + "\n"


def options(kind: str) -> str:
    """Each component, or section, with its options as a definition list."""
    lines = [f"# {kind}", "", KINDS[kind], "", f"`crestfall list {kind}` prints the same.", ""]
    for name, cls in known(kind).items():
        entry = describe(name, cls)
        lines += [f"## {name}", "", entry["doc"], ""]
        for field in entry["fields"]:
            lines += _defined(f"`{field['name']}` · {_type(field)}", field["doc"])
        if not entry["fields"]:
            lines += ["It has no options.", ""]
    return "\n".join(lines)


def signals() -> str:
    """The table of `core.signals`, with the keys of other tools that are read as each signal."""
    lines = ["# Signals", "", SIGNALS, ""]
    for signal in TABLE:
        unit = f" · {signal.unit}" if signal.unit else ""
        lines += _defined(f"`{signal.name}`{unit}", f"{_capital(signal.meaning)}.")
        if signal.keys:
            lines += [f"    Read from {', '.join(f'`{key}`' for key in signal.keys)}.", ""]
    return "\n".join(lines)


def command_line() -> str:
    lines = ["# Command line", ""]
    for verb, says in VERBS.items():
        lines += [f"## crestfall {verb}", "", f"{_capital(says)}.", "", "```", help_of(verb).rstrip(), "```", ""]
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


def help_of(verb: str) -> str:
    """Output of `crestfall VERB --help`, 90 columns wide."""
    out = io.StringIO()
    with _columns(90), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        parser(verb).parse_args([verb, "--help"])
    return out.getvalue()


@contextlib.contextmanager
def _columns(width: int) -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _defined(term: str, text: str) -> list[str]:
    return [term, f":   {' '.join(text.split()) or 'No description.'}", ""]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _type(field: dict[str, Any]) -> str:
    if field["required"]:
        return f"{field['type']}, required"
    default = field["default"]
    if isinstance(default, dict):
        return f"{field['type']}, default {default.get('name', 'as in its own section')}"
    return f"{field['type']}, default `{default!r}`" if default != "" else f"{field['type']}, default empty"
