"""`crestfall list [KIND [NAME]]`: the components that a configuration can name, and what their options mean."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from crestfall.cli.common import console_of
from crestfall.core.build import Option, options, summary
from crestfall.core.errors import ConfigError
from crestfall.core.registry import components, kinds
from crestfall.grading.limits import Limits
from crestfall.testbed.config import CampaignConfig, ChainConfig, RunConfig, StudyConfig
from crestfall.testbed.schema import config_schema

# Sections of a configuration that are no components: listed the same way.
_SECTIONS: dict[str, type[Any]] = {
    "run": RunConfig,
    "study": StudyConfig,
    "campaign": CampaignConfig,
    "chain": ChainConfig,
    "grader": Limits,
}

EXAMPLE = """crestfall list
crestfall list control
crestfall list pace norm
crestfall list config --schema"""


def configure(parser: argparse.ArgumentParser) -> None:
    choices = [*kinds(), "config"]
    parser.add_argument("kind", nargs="?", metavar="KIND", choices=choices, help=f"one of {', '.join(choices)}")
    parser.add_argument("name", nargs="?", metavar="NAME", help="one component of that kind")
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of configurations, for editors (docs/configuration.md)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.schema:
        if args.kind not in (None, "config"):
            raise ConfigError(f"--schema is for whole configurations: crestfall list config --schema, not {args.kind}")
        schema = config_schema()
        if not args.json:
            print(json.dumps(schema, indent=1))
        return schema
    listing = {kind: [describe(name, cls) for name, cls in known(kind).items()] for kind in _kinds(args.kind)}
    if args.name is not None:
        listing[args.kind] = [_named(args.kind, args.name, listing[args.kind])]
    if not args.json:
        console = console_of(args)
        show(console, listing) if args.kind else overview(console, listing)
    return listing


def _kinds(kind: str | None) -> list[str]:
    return [kind] if kind else [kind for kind in [*kinds(), "config"] if known(kind)]


def _named(kind: str, name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise ConfigError(f"{kind}: expected one of {', '.join(entry['name'] for entry in entries)}, found {name!r}")


def known(kind: str) -> dict[str, type[Any]]:
    return _SECTIONS if kind == "config" else dict(components(kind))


def describe(name: str, cls: type[Any]) -> dict[str, Any]:
    return {"name": name, "doc": summary(cls), "fields": [asdict(option) for option in options(cls)]}


def overview(console: Console, listing: dict[str, list[dict[str, Any]]]) -> None:
    """A line of each component."""
    widest = max(len(entry["name"]) for entries in listing.values() for entry in entries)
    for kind, entries in listing.items():
        console.print(Text(kind, "bold"))
        for entry in entries:
            _print(console, f"  {entry['name']:<{widest}}  ", Text(_first_sentence(entry["doc"])))
        console.print()
    print("crestfall list KIND explains every option of a kind, crestfall list KIND NAME those of one component.")


def show(console: Console, listing: dict[str, list[dict[str, Any]]]) -> None:
    for kind, entries in listing.items():
        for entry in entries:
            _print(console, "", Text.assemble((f"{kind} ", "dim"), (entry["name"], "bold green"), f"  {entry['doc']}"))
            for field in entry["fields"]:
                _print(console, " " * 4, _line(Option(**field)))
            console.print()


def _print(console: Console, head: str, text: Text) -> None:
    """`head`, and beside it the text, wrapped at words."""
    lines = text.wrap(console, max(20, console.width - len(head)))
    for line in lines:
        line.rstrip()
    console.print(Text(head, "green") + Text("\n" + " " * len(head)).join(lines), soft_wrap=True)


def _line(option: Option) -> Text:
    default = "required" if option.required else f"= {_short(option.default)}"
    return Text.assemble((option.name, "cyan"), (f": {option.type} {default}", "dim"), f"  {option.doc}")


def _short(default: Any) -> str:
    """A section's or component's default by its name: its own options are listed elsewhere."""
    if isinstance(default, dict):
        return str(default.get("name", "..."))
    return str(default)


def _first_sentence(doc: str) -> str:
    return re.split(r"(?<=\.)\s", doc, maxsplit=1)[0]
