"""A synthetic study with the paper's arms; nothing in it is a result."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "report"))
from synthetic_runs import write_run, write_study

from research.paper.arms import Results, read_results

METHODS = ("naive", "care_v2", "es", "grpo+es", "fixed")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seeds of five methods, `ewc` with two of its four seeds done, and `kl_adaptive` with none."""
    path = tmp_path_factory.mktemp("paper") / "study"
    write_study(path, methods=METHODS, seeds=range(1, 9), campaigns=2)
    for seed, status in ((1, "done"), (2, "done"), (3, "running")):
        write_run(path / "cells" / "ewc" / f"seed-{seed}", method="ewc", seed=seed, campaigns=2, status=status)
    meta = json.loads((path / "study.json").read_text())
    meta["cells"] += [{"method": "ewc", "seed": seed} for seed in (1, 2, 3, 4)]
    meta["cells"] += [{"method": "kl_adaptive", "seed": 1}]
    (path / "study.json").write_text(json.dumps(meta))
    return path


@pytest.fixture(scope="session")
def results(study: Path) -> Results:
    return read_results(study)
