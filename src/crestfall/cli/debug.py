"""`crestfall report --debug [DIR]`: what a bug report needs, and nothing that is anybody's secret.

Versions, the machine, the sandbox's layers and, with DIR, the resolved configuration of that run or study. Texts that
somebody wrote (paths, addresses, names, commands, environment variables) are left out: nobody can tell a token from a
name by looking at it. An option's text is shown where it is one of those that crestfall itself knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import CrestfallError, InputError
from crestfall.core.extras import EXTRA_OF, install, installed
from crestfall.grading import CodeGrader, Limits
from crestfall.store.meta import read_meta, read_study
from crestfall.store.provenance import provenance
from crestfall.testbed.schema import config_schema


def debug(directory: Path | None) -> dict[str, Any]:
    """Plain data for `--json` and `lines`. Raises InputError: the directory is neither a run's nor a study's."""
    here = provenance(())
    del here["command"]
    missing = {library: extra for library, extra in EXTRA_OF.items() if not installed(library)}
    out = {**here, "sandbox": _layers(), "missing": {name: install(missing[name]) for name in sorted(missing)}}
    return out if directory is None else out | {"run": _of_run(directory)}


def _of_run(directory: Path) -> dict[str, Any]:
    meta = read_study(directory) or read_meta(directory)
    if meta is None:
        raise InputError(f"{directory}: neither a run directory (run.json) nor a study's (study.json)")
    made_with = meta.get("provenance") or {}
    versions = {key: made_with[key] for key in ("crestfall", "python", "packages", "sandbox") if key in made_with}
    configuration = without_texts(meta["config"], _known_words())
    return {"status": meta.get("status", "a study"), "made with": versions, "configuration": configuration}


def _layers() -> dict[str, str]:
    try:
        with CodeGrader(Limits(workers=1)) as grader:
            return grader.layers
    except CrestfallError as error:
        return {"none": str(error)}


def lines(found: Mapping[str, Any], indent: str = "") -> list[str]:
    """`key: value`, sections indented."""
    out = []
    for key, value in found.items():
        if isinstance(value, Mapping) and value:
            out += [f"{indent}{key}:", *lines(value, indent + "  ")]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            out.append(f"{indent}{key}: {shown}")
    return out


def without_texts(value: Any, known: frozenset[str]) -> Any:
    """The same plain data with every text replaced that is not a known word, keys of mappings included."""
    if isinstance(value, Mapping):
        return {
            key if key in known else f"<key {place}>": without_texts(entry, known)
            for place, (key, entry) in enumerate(value.items())
        }
    if isinstance(value, list):
        return [without_texts(entry, known) for entry in value]
    return f"<text of {len(value)}>" if isinstance(value, str) and value not in known else value


def _known_words() -> frozenset[str]:
    """Every key, component and choice of a configuration, and every default."""
    found: set[str] = set()

    def collect(schema: Any, key: str = "") -> None:
        if isinstance(schema, Mapping):
            if key == "properties":
                found.update(schema)
            for name, entry in schema.items():
                collect(entry, name)
        elif isinstance(schema, list):
            for entry in schema:
                collect(entry, key)
        elif isinstance(schema, str) and key in ("const", "enum", "default"):
            found.add(schema)

    collect(config_schema())
    return frozenset(found)
