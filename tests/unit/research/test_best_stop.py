"""The fixed stop that tuning seeds choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.trajectory import Trajectory
from crestfall.core.entry import guarded
from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation
from research.best_stop import main, mean_curve


def campaign(select: list[int], report: list[int]) -> Trajectory:
    counts = [tuple(Evaluation((c,), 16) for c in s) for s in (select, report)]
    values_S = np.array([e.pass_at_1 for e in counts[0]])
    return Trajectory("t", Path("t"), "m", "", np.arange(len(select)), values_S, counts[0], counts[1])


def test_select_and_report_count_alike_and_seeds_too() -> None:
    curve_S = mean_curve([campaign([0, 8, 16], [0, 16, 0]), campaign([0, 8, 4], [0, 8, 4])])
    assert curve_S.tolist() == [0.0, 0.625, 0.375]


def test_a_stopped_campaign_is_refused() -> None:
    with pytest.raises(InputError, match="these have 2, 1 evaluations"):
        mean_curve([campaign([0, 1], [0, 1]), campaign([0], [0])])


def test_the_command_names_step_and_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
    from synthetic_runs import write_study

    study = write_study(tmp_path / "s", methods=("naive",), seeds=(5, 6), campaigns=1)
    assert main([str(study)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("best stop: step ")
    assert said[-1].endswith("seeds 5, 6")
    assert guarded(lambda: main([str(study), "--method", "es"])) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
