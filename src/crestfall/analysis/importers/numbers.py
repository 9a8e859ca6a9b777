"""Cells as numbers: plain ones fast, and what people and tools put around them (`51.2%`, `12/80`, `np.float64(1)`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from crestfall.analysis.trajectory import FloatArray, IntArray

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_WRAPPED = re.compile(rf"^(?:\w+\.)*\w+\(\s*({NUMBER})\s*[,)]")
_SPREAD = re.compile(rf"^({NUMBER})\s*(?:±|\+/-|\+-|\(|\[).*$")
_THOUSANDS = re.compile(r"^[-+]?\d{1,3}(?:[, '’\u00a0\u202f]\d{3})+(?:\.\d+)?$")
_BETWEEN_THOUSANDS = str.maketrans("", "", ", '’\u00a0\u202f")
_EUROPEAN = re.compile(r"^[-+]?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d+)?(?:[eE][-+]?\d+)?\s*%?$")
_DECIMAL_COMMA = re.compile(r"^[-+]?\d*,\d+(?:[eE][-+]?\d+)?$")
_COUNTED = re.compile(rf"^({NUMBER})\s*([kKM]?)(?:\s*/\s*{NUMBER}\s*[kKM]?)?$")
_OF = re.compile(r"^\s*(\d{1,9})\s*/\s*(\d{1,9})\s*$")
NUMBERED = re.compile(
    r"(?:^|[/\\_.\s-])(?:global_?step|step|checkpoint|ckpt|iteration|iter|epoch)s?[-_=]?(\d+)(?=\D|$)", re.IGNORECASE
)
"""A checkpoint's step in its name, or in the path to it."""
_LAST_NUMBER = re.compile(r"^[A-Za-z][A-Za-z_ -]*?[_ -]?(\d+)$")
_WORDS = {"true": 1.0, "false": 0.0, "nan": np.nan, "inf": np.inf, "-inf": -np.inf, "+inf": np.inf}
_VERDICTS = {"yes": 1.0, "no": 0.0, "pass": 1.0, "fail": 0.0, "passed": 1.0, "failed": 0.0, "correct": 1.0}
_VERDICTS |= {"incorrect": 0.0, "wrong": 0.0, "solved": 1.0, "unsolved": 0.0}
"""Words of a column that says of each sample whether it is right; among other words they are text."""
FIRST, LAST = ("base", "init", "initial", "pretrained"), ("final", "last", "best")
"""Names of checkpoints that have no number: those from before the training, and those of which nobody knows."""
_THOUSAND = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}

ASIDE = frozenset(
    ("wall time", "walltime", "timestamp", "_timestamp", "_runtime", "time", "wall_time", "date", "unnamed: 0", "")
)
"""Columns that are neither scores nor signals."""
COUNTS = ("n", "num_samples", "n_samples", "num_instances", "samples", "num_examples", "n_eval")
"""Columns that say how many graded samples are behind the scores of their row."""
_COUNTS_BELOW = ("n", "num_instances")
"""The same below a name (`gsm8k/n`), of the scores with that name."""
MISSING = frozenset(("", "none", "null", "na", "n/a", "#n/a", "nil", "-", "--", "no log", "—", "–"))


def counts(key: str) -> str | None:
    """The name of the scores that a column counts the samples of, "" for all; None: it counts none."""
    below, _, last = key.lower().rpartition("/")
    return key[: len(below)] if last in (_COUNTS_BELOW if below else COUNTS) else None


def count_distinct(values_R: FloatArray | IntArray) -> int:
    """How many different numbers there are; where they rise, as steps do, at a tenth of the cost of np.unique."""
    rising = bool((np.diff(values_R) > 0).all())
    return len(values_R) if rising else 1 + int(np.count_nonzero(np.diff(np.sort(values_R))))


def floats(raws: Sequence[Any]) -> tuple[FloatArray, IntArray]:
    """The numbers among some cells and where they stand (index into `raws`); what is no number is passed over."""
    try:
        if raws and isinstance(raws[0], str) and "_" not in "".join(raws):  # float() takes "1_000"; numpy does not.
            return np.fromiter(map(float, raws), np.float64, len(raws)), np.arange(len(raws))
    except (ValueError, TypeError):
        pass
    try:
        values_R = np.array(raws, dtype=np.float64)
        if values_R.ndim == 1 and None not in raws:
            return values_R, np.arange(len(values_R))
    except (ValueError, TypeError, OverflowError):
        pass
    words = {raw.strip().lower() for raw in raws if isinstance(raw, str)}
    if len(words - MISSING) > 1 and words <= _VERDICTS.keys() | MISSING:
        raws = [_VERDICTS.get(raw.strip().lower(), raw) if isinstance(raw, str) else raw for raw in raws]
    comma = any(_has_decimal_comma(raw) for raw in raws if isinstance(raw, str) and "," in raw)
    parsed = [_cell(raw, comma) for raw in raws]
    kept = [(i, value) for i, value in enumerate(parsed) if value is not None]
    return np.array([v for _, v in kept], dtype=np.float64), np.array([i for i, _ in kept], dtype=np.int64)


def shares(raws: Sequence[Any]) -> tuple[FloatArray, IntArray, IntArray] | None:
    """Cells `73/164` as shares, where they stand, and of how many; None: most cells are something else."""
    matches = [(i, match) for i, raw in enumerate(raws) if isinstance(raw, str) and (match := _OF.match(raw))]
    counts_R2 = np.array([(int(match[1]), int(match[2])) for _, match in matches], dtype=np.int64).reshape(-1, 2)
    passed_R, n_R = counts_R2.T
    if 2 * len(matches) < len(raws) or (passed_R > n_R).any() or (n_R == 0).any():
        return None
    return passed_R / n_R, np.array([i for i, _ in matches], dtype=np.int64), n_R


def counters(raws: Sequence[Any], plain: tuple[FloatArray, IntArray] | None = None) -> tuple[FloatArray, IntArray]:
    """The same as `floats`, for step counters: `12/80` is 12, `1.5k` is 1500, `step_100` and `out/step_100` are 100.
    `plain`: the floats of the cells, where they are known."""
    values_R, at_R = floats(raws) if plain is None else plain
    if len(at_R) == len(raws):
        return values_R, at_R
    found = dict(zip(at_R.tolist(), values_R.tolist(), strict=True))
    for i, raw in enumerate(raws):
        if i in found or not isinstance(raw, str):
            continue
        text = raw.strip()
        if text.lower() in FIRST:
            found[i] = 0.0
        elif match := _COUNTED.match(text):
            found[i] = float(match[1]) * _THOUSAND[match[2]]
        elif (step := named_step(text)) is not None:
            found[i] = float(step)
        elif match := _LAST_NUMBER.match(text):
            found[i] = float(match[1])
    at = sorted(found)
    return np.array([found[i] for i in at], dtype=np.float64), np.array(at, dtype=np.int64)


def named_step(text: str) -> int | None:
    """The step in the name of a checkpoint, the last one in a path; None: there is none."""
    numbers = NUMBERED.findall(text)
    return int(numbers[-1]) if numbers else None


def with_points(columns: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The columns of a table; where it has decimal commas, `1.234,5` is 1234.5 and `1.000` a thousand."""
    commas = any("," in raw and _has_decimal_comma(raw.rstrip(" %")) for column in columns for raw in column)
    if not commas:
        return list(columns)
    return [[_pointed(raw) for raw in column] if _is_european(column) else column for column in columns]


_COMMA_VALUE = re.compile(r"[:=]\s*-?0,\d")
_POINT_VALUE = re.compile(r"(?<![\d.,])-?0\.\d")
_COMMA_NUMBER = re.compile(r"(?<![\d.,])(\d+),(\d+)(?![\d.]|,\d)")


_THOUSANDS_END = re.compile(r",(?<!:\d\d,)\d{3}(?!\d)")
"""The last thousand of a number, or thousandths of no time."""
_IN_THOUSANDS = re.compile(r"(?<=[\s:=])(?<!\d:)[-+]?[1-9]\d{0,2}(?:,\d{3})+(?=\.\d|[\s,;|)%/]|$)")


def text_with_points(text: str) -> str:
    """A log's text; where its values have decimal commas (`kl = 0,12`) and none a point, points for commas, and without
    the commas of thousands (`step 1,000`)."""
    if _THOUSANDS_END.search(text):
        text = _IN_THOUSANDS.sub(lambda m: m[0].replace(",", ""), text)
    if not _COMMA_VALUE.search(text, 0, 1 << 16) or _POINT_VALUE.search(text, 0, 1 << 16):
        return text
    return _COMMA_NUMBER.sub(r"\1.\2", text)


def _is_european(raws: Sequence[str]) -> bool:
    return all(_EUROPEAN.match(raw) for raw in raws if raw[:1].isdigit() or raw[1:2].isdigit())


def _pointed(raw: str) -> str:
    return raw.replace(".", "").replace(",", ".") if _EUROPEAN.match(raw) else raw


def missing(raw: Any) -> bool:
    return raw is None or (isinstance(raw, str) and raw.strip().lower() in MISSING)


def _has_decimal_comma(text: str) -> bool:
    return bool(_DECIMAL_COMMA.match(text)) and (text.lstrip("-+").startswith("0,") or not _THOUSANDS.match(text))


def _cell(raw: Any, comma: bool) -> float | None:
    if isinstance(raw, int | float):
        try:
            return float(raw)
        except OverflowError:
            return float("inf")
    if not isinstance(raw, str):
        numeric = isinstance(raw, list) and raw and all(isinstance(one, int | float) for one in raw)
        return float(np.mean(raw)) if numeric else None
    text = raw.strip()
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return _decorated(text, comma)


def _decorated(text: str, comma: bool) -> float | None:
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if text.endswith("%"):
        share = _cell(text[:-1], comma)
        return None if share is None else share / 100
    if comma and _DECIMAL_COMMA.match(text):
        return float(text.replace(",", "."))
    if _THOUSANDS.match(text):
        return float(text.translate(_BETWEEN_THOUSANDS))
    if match := _WRAPPED.match(text) or _SPREAD.match(text):
        return float(match[1])
    if text.startswith("[") and text.endswith("]"):
        some = [_cell(one, comma) for one in re.split(r"[,\s]+", text.strip("[] "))]
        return None if None in some else float(np.mean([one for one in some if one is not None]))
    if text.startswith("**") and text.endswith("**"):
        return _cell(text.strip("*"), comma)
    return None
