"""Measure how often the classifier agrees with a person: `python -m research.labelled DIR`.

DIR holds log files and an index.json: a list of {"file", "metric_key", "judgement", ...}, `file` relative to DIR (or a
pattern of files that are one run), judgement one of rise-and-collapse, collapse, rise, flat, decline.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crestfall.analysis.classify import CurveClass, classify
from crestfall.analysis.importers.load import load
from crestfall.core.entry import guarded, script_parser


@dataclass(frozen=True)
class Judged:
    """One curve: what a person said and what the classifier says."""

    name: str
    metric: str
    judgement: str
    called: CurveClass


def judge_all(directory: Path) -> list[Judged]:
    """Every curve of the index, classified. Raises InputError for a file or metric that is not there."""
    out = []
    for entry in json.loads((directory / "index.json").read_text(encoding="utf-8")):
        (trajectory,) = load([directory / entry["file"]], entry["metric_key"])
        called = classify(trajectory.judged_S, trajectory.judged_error_S).label
        out.append(Judged(entry["name"], entry["metric_key"], entry["judgement"].replace("-", "_"), called))
    return out


def balanced_accuracy(curves: Sequence[Judged]) -> float:
    """Mean over the judgements that occur of the share on which the classifier agrees."""
    judgements = sorted({c.judgement for c in curves})
    recalls = [[c.called == j for c in curves if c.judgement == j] for j in judgements]
    return sum(sum(hits) / len(hits) for hits in recalls) / len(recalls)


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.labelled", __doc__)
    parser.add_argument("directory", type=Path)
    curves = judge_all(parser.parse_args(argv).directory)
    for c in curves:
        print(f"{'ok' if c.called == c.judgement else 'NO':<3}{c.judgement:<18}{c.called:<18}{c.name}: {c.metric}")
    print(f"{sum(c.called == c.judgement for c in curves)} of {len(curves)} agree; ", end="")
    print(f"balanced accuracy {balanced_accuracy(curves):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
