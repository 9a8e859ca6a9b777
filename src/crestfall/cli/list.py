"""`crestfall list [KIND]`: the components that a configuration can name, and what their options mean."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.padding import Padding
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

EXAMPLE = """crestfall list control
crestfall list config --schema"""


def configure(parser: argparse.ArgumentParser) -> None:
    choices = [*kinds(), "config"]
    parser.add_argument("kind", nargs="?", metavar="KIND", choices=choices, help=f"one of {', '.join(choices)}")
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of configurations, for editors (docs/configuration.md)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.schema:
        if args.kind not in (None, "config"):
            raise ConfigError(f"--schema is of whole configurations: crestfall list config --schema, not {args.kind}")
        schema = config_schema()
        if not args.json:
            print(json.dumps(schema, indent=1))
        return schema
    wanted = [args.kind] if args.kind else [kind for kind in [*kinds(), "config"] if known(kind)]
    listing = {kind: [describe(name, cls) for name, cls in known(kind).items()] for kind in wanted}
    if not args.json:
        show(console_of(args), listing)
    return listing


def known(kind: str) -> dict[str, type[Any]]:
    return _SECTIONS if kind == "config" else dict(components(kind))


def describe(name: str, cls: type[Any]) -> dict[str, Any]:
    return {"name": name, "doc": summary(cls), "fields": [asdict(option) for option in options(cls)]}


def show(console: Console, listing: dict[str, list[dict[str, Any]]]) -> None:
    for kind, entries in listing.items():
        for entry in entries:
            console.print(Text.assemble((f"{kind} ", "dim"), (entry["name"], "bold green"), f"  {entry['doc']}"))
            for field in entry["fields"]:
                console.print(Padding(_line(Option(**field)), (0, 0, 0, 4)))
            console.print()


def _line(option: Option) -> Text:
    default = "required" if option.required else f"= {_short(option.default)}"
    return Text.assemble((option.name, "cyan"), (f": {option.type} {default}", "dim"), f"  {option.doc}")


def _short(default: Any) -> str:
    """A section's or component's default by its name: its own options are listed elsewhere."""
    if isinstance(default, dict):
        return str(default.get("name", "..."))
    return str(default)
