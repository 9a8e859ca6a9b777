"""run.json and study.json: what was run, and whether it is what is asked for now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import RunDirectoryError
from crestfall.store.files import content, write_atomic, writing
from crestfall.store.layout import RUN_FILE, STUDY_FILE

STATUSES = ("running", "done", "interrupted", "failed")


def read_meta(path: Path) -> dict[str, Any] | None:
    """run.json of a run directory, None where there is none. Raises RunDirectoryError if it is broken."""
    meta = read_json(path / RUN_FILE)
    if meta is not None:
        _needs(path / RUN_FILE, meta, {"config": dict, "method": str, "seed": int, "status": str})
        if meta["status"] not in STATUSES:
            expected = ", ".join(STATUSES)
            raise RunDirectoryError(f"{path / RUN_FILE}: status is {meta['status']!r}, expected one of {expected}")
    return meta


def read_study(path: Path) -> dict[str, Any] | None:
    """study.json of a study's directory, None where there is none. Raises RunDirectoryError if it is broken."""
    study = read_json(path / STUDY_FILE)
    if study is not None:
        _needs(path / STUDY_FILE, study, {"config": dict, "cells": list})
        for cell in study["cells"]:
            if not isinstance(cell, dict):
                raise RunDirectoryError(f"{path / STUDY_FILE}: a cell is {cell!r}, expected an object")
            _needs(path / STUDY_FILE, cell, {"method": str, "seed": int, "path": str})
    return study


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None where there is none. Raises RunDirectoryError if it is broken."""
    raw = content(path)
    if raw is None:
        return None
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise RunDirectoryError(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Replace a JSON file for people and machines alike, making its directory where there is none."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def reject_other_config(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raises RunDirectoryError that names the first keys at which a directory's configuration differs, and the ways
    out."""
    keys = differences(old, new)
    if keys:
        more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise RunDirectoryError(
            f"{path}: holds a run of another configuration ({'; '.join(keys[:3])}{more}); choose another directory "
            f"with --out, give the old values, or delete it"
        )


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """The dotted keys at which two resolved configurations differ, as `key: old -> new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        out = []
        for key in dict.fromkeys([*old, *new]):
            out += differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
        return out
    return [] if old == new else [f"{where}: {old!r} -> {new!r}"]


def _needs(path: Path, data: Mapping[str, Any], fields: Mapping[str, type]) -> None:
    for name, kind in fields.items():
        if not isinstance(data.get(name), kind) or isinstance(data.get(name), bool):
            found = repr(data[name])[:60] if name in data else "nothing"
            raise RunDirectoryError(f"{path}: field {name!r} is {found}, expected a {kind.__name__}: it is damaged")
