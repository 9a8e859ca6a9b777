"""One JSON or YAML document: a list of rows, {metric: {step: value}} (NeMo), {metric: [values]}, or runs of these.

TensorBoard's JSON export ([wall time, step, value] triples), pandas' `split` and `columns` and objects written one
after the other are read, too. What is no JSON (comments, commas at the end, Python's quotes) is read as YAML, which
allows it; what is cut off, up to its last whole row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import yaml

from crestfall.analysis.importers import metrics
from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories
from crestfall.analysis.importers.jsonl import cells_of
from crestfall.analysis.importers.numbers import counters, floats, named_step
from crestfall.analysis.importers.table import names_of
from crestfall.analysis.importers.text import read_text, run_name, suffix_of
from crestfall.core.errors import InputError
from crestfall.core.registry import register

EXPECTED = "rows with a step, {metric: {step: value}} or {metric: [values]}"
FEWEST = 3
FEWEST_UNKNOWN = 8
"""A shorter list of numbers, none of which has a name that is known, is a setting."""
LARGEST_YAML = 20 << 20
_YAML = (".yaml", ".yml")
_LIST_OF_DICTS = re.compile(rb"\s*\[\s*\{[^{}]*\}\s*,\s*\{")
_INDENTED = re.compile(rb"\s*[\[{]\s*\n")
_TEXT = re.compile(rb"^[^\s\[\]{},]", re.MULTILINE)
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
_ROWS = ("log_history", "history", "rows", "logs", "log", "metrics", "data", "results", "records", "evaluations")


@register("importer", "json")
@dataclass(frozen=True)
class JsonFile(OneFile):
    """One JSON or YAML document: rows, {metric: {step: value}}, {metric: [values]}."""

    order: ClassVar[int] = 6

    def claims(self, path: Path, head: bytes) -> bool:
        if suffix_of(path) in (".json", *_YAML) or _LIST_OF_DICTS.match(head):
            return True
        if suffix_of(path) in (".jsonl", ".ndjson") and head.lstrip().startswith(b"["):
            return True
        indented = suffix_of(path) != ".ipynb" and _INDENTED.match(head) and not _TEXT.search(head)
        return bool(indented) or (suffix_of(path) == "" and head.lstrip()[:1] in (b"{", b"["))

    def read_one(self, path: Path) -> list[History]:
        data, *notes = _parsed(read_text(path), path)
        found = list(_runs(data, About(run_name(path), path, "JSON", notes=tuple(notes)), 0))
        if not found:
            raise InputError(f"{path}: expected {EXPECTED}")
        return found


def _parsed(text: str, path: Path) -> tuple[Any, *tuple[str, ...]]:
    """The document, or the list of those that stand one after the other, and notes. Raises InputError."""
    decoder, at, found = json.JSONDecoder(), 0, []
    try:
        if suffix_of(path) in _YAML:
            return _yaml(text)
        while (at := len(text) - len(text[at:].lstrip())) < len(text):
            value, at = decoder.raw_decode(text, at)
            found.append(value)
        return (found[0] if len(found) == 1 else found,)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if found and all(isinstance(value, dict) for value in found):
            return (found, "the end of the file is cut off")
        if suffix_of(path) not in _YAML:
            with suppress(ValueError, RecursionError, yaml.YAMLError):
                return _cut_off(text) or _yaml(_COMMENT.sub("", text))
        kind = "YAML" if suffix_of(path) in _YAML else "JSON"
        raise InputError(f"{path}: not {kind}: {' '.join(str(error).split())}") from None


def _cut_off(text: str) -> tuple[Any, str] | None:
    """The complete rows of a document that breaks off, and a note; None if it does not end in a row."""
    whole = text[: text.rfind("}") + 1]
    for end in ("]", "]}", "]}}"):
        with suppress(ValueError):
            return json.loads(whole + end), "the end of the file is cut off"
    return None


def _yaml(text: str) -> tuple[Any]:
    if len(text) > LARGEST_YAML:
        raise ValueError(f"more than {LARGEST_YAML >> 20} MiB of YAML")
    found = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return (found[0] if len(found) == 1 else found,)


def _runs(data: Any, about: About, depth: int) -> Iterator[History]:
    if isinstance(data, list) and len(data) > 1 and all(_history_in(run) for run in data):
        data = {str(run.get("name", run.get("seed", i))): run for i, run in enumerate(data, start=1)}
    frame = frame_of(data)
    if frame is not None:
        yield from histories(frame, about)
    elif isinstance(data, dict) and depth < 3:
        inner = [key for key in (*_ROWS, "runs") if isinstance(data.get(key), dict | list)]
        for key in inner[:1] or list(data):
            name = about.name if inner else f"{about.name} {key}"
            try:
                yield from list(_runs(data[key], replace(about, name=name), depth + 1))
            except InputError:
                if inner:
                    raise


def _history_in(run: Any) -> bool:
    return isinstance(run, dict) and any(isinstance(run.get(key), list) for key in _ROWS)


def frame_of(data: Any) -> Frame | None:
    """The rows of a document; None where it is none of the known shapes."""
    if isinstance(data, list):
        if table := _table(data):
            return table
        if len(data) > FEWEST and len(floats(data)[0]) == len(data):
            return Frame.of_columns({"value": data})
        rows = [row for row in data if isinstance(row, dict)]
        return Frame.of(dict(cells_of(row)) for row in rows) if rows and 2 * len(rows) > len(data) else None
    if not isinstance(data, dict) or not data:
        return None
    if isinstance(data.get("columns"), list) and isinstance(data.get("data"), list):
        return _table([data["columns"], *data["data"]])
    if series := _series(data):
        return series
    for key in _ROWS:
        if isinstance(data.get(key), list) and data[key] and isinstance(data[key][0], dict):
            return frame_of(data[key])
    if all(isinstance(value, dict) and _is_counter(value) for value in data.values()):
        return _by_metric(data)
    if _is_counter(data) and all(isinstance(value, dict) for value in data.values()):
        return Frame.of({"step": step, **dict(cells_of(row))} for step, row in data.items())
    if len(data) >= FEWEST and _is_counter(data) and len(floats(list(data.values()))[0]) == len(data):
        return Frame.of_columns({"step": list(data), "value": list(data.values())})
    counted = any(metrics.step_rank(key) is not None and isinstance(value, list) for key, value in data.items())
    return _by_list(dict(cells_of(data)) if counted else data)


def _table(rows: Sequence[Any]) -> Frame | None:
    """Lists of one length, the first of which may be the header; without, the columns are named after what they hold
    (TensorBoard's triples of wall time, step, value)."""
    if len(rows) < FEWEST or not all(isinstance(row, list) and len(row) == len(rows[0]) > 1 for row in rows):
        return None
    header = rows[0] if not len(floats(rows[0])[0]) else names_of(rows)
    return Frame.of(dict(zip(header, row, strict=True)) for row in rows if row is not header)


def _series(data: Mapping[str, Any]) -> Frame | None:
    """{title: {series: {"x": steps, "y": values}}} (ClearML), {"data": [{"name", "x", "y"}]} (plotly)."""
    found: dict[str, Mapping[str, Any]] = {}
    for title, inner in data.items():
        if isinstance(inner, list):
            found |= {str(s.get("name", i)): s for i, s in enumerate(inner) if _is_series(s)}
        elif isinstance(inner, dict):
            found |= {f"{title}/{name}": s for name, s in inner.items() if _is_series(s)}
    rows: dict[Any, dict[str, Any]] = {}
    for name, points in found.items():
        for step, value in zip(points["x"], points["y"], strict=True):
            rows.setdefault(step, {"step": step})[name] = value
    return Frame.of(rows[step] for step in sorted(rows, key=float)) if rows else None


def _is_series(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    x, y = value.get("x"), value.get("y")
    return isinstance(x, list) and isinstance(y, list) and len(x) == len(y) > 1 and len(floats(x)[0]) == len(x)


def _is_counter(value: Mapping[str, Any]) -> bool:
    """Keys that are numbers of steps, or names of checkpoints."""
    some = list(value)[:50]
    return bool(some) and (len(floats(some)[0]) == len(some) or None not in map(named_step, some))


def _by_metric(data: Mapping[str, Mapping[str, Any]]) -> Frame:
    """{metric: {step: value}}; a metric that is itself a step (pandas' `columns`) counts instead of the index."""
    rows: dict[str, dict[str, Any]] = {}
    for key, points in data.items():
        for step, value in points.items():
            rows.setdefault(step, {})[key] = value
    if any(metrics.step_rank(key) is not None for key in data):
        return Frame.of(rows.values())
    steps = dict(zip(rows, counters(list(rows))[0].tolist(), strict=True))
    return Frame.of({"step": steps[name], **rows[name]} for name in sorted(rows, key=steps.__getitem__))


def _by_list(data: Mapping[str, Any]) -> Frame | None:
    """{metric: [values]} of one length, or {metric: [[step, value], ...]}."""
    lists = {key: value for key, value in data.items() if isinstance(value, list) and len(value) > 1}
    if not lists:
        return None
    pairs = {k: v for k, v in lists.items() if all(isinstance(p, list) and len(p) in (2, 3) for p in v)}
    if pairs:
        frame = Frame()
        for key, points in pairs.items():
            for point in points:
                frame.append({"step": point[-2], key: point[-1]}.items())
        return frame
    steps = next((v for k, v in lists.items() if metrics.step_rank(k) is not None and len(floats(v)[0]) == len(v)), [])
    seeds = {k: v for k, v in lists.items() if v is not steps and all(_is_of(row, steps) for row in v)}
    if steps and seeds and len(steps) not in map(len, seeds.values()):  # a row per seed
        some = max(map(len, seeds.values()))
        return Frame.of(
            {"seed": i + 1, "step": step, **{k: v[i][at] for k, v in seeds.items() if i < len(v)}}
            for i in range(some)
            for at, step in enumerate(steps)
        )
    numeric = {k: v for k, v in lists.items() if len(floats(v)[0]) >= len(v) / 2}
    known = any(metrics.role_of(key) != "aside" or metrics.step_rank(key) is not None for key in numeric)
    return Frame.of_columns(numeric) if known or max(map(len, numeric.values()), default=0) >= FEWEST_UNKNOWN else None


def _is_of(row: Any, steps: Sequence[Any]) -> bool:
    return isinstance(row, list) and len(row) == len(steps)
