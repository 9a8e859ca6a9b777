"""How often a watch accuses a run that never falls, over the whole run: looked at again and again, with restarts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.trajectory import FloatArray, Trajectory
from crestfall.analysis.watch.memory import Memory
from crestfall.analysis.watch.monitor import Monitor
from crestfall.control.alert import Alert
from crestfall.core.rng import stream

pytestmark = pytest.mark.slow
RUNS, STEPS, SAMPLES = 400, 120, 200


def run_of(values_S: FloatArray, known: bool) -> Trajectory:
    errors_S = np.sqrt((values_S * (1 - values_S) + 0.25 / SAMPLES) / SAMPLES) if known else None
    steps_S = np.arange(len(values_S))
    return Trajectory("a", Path("a.jsonl"), "acc", "told", steps_S, values_S, standard_errors_S=errors_S, told=True)


@pytest.mark.parametrize(("known", "restarts"), [(True, False), (True, True), (False, False)])
def test_the_stated_rate_holds_over_whole_runs(known: bool, restarts: bool, tmp_path: Path) -> None:
    """Levels that rise and hold, or are flat; 120 evaluations of 200 samples, looked at after every tenth. A job that
    restarts goes back 20 steps and draws anew from there."""
    accused = 0
    for number in range(RUNS):
        rng = stream("watched", number, str(known), str(restarts))
        start, height = rng.uniform(0.1, 0.7), rng.choice([0.0, 0.25])
        level_S = start + height * np.minimum(np.arange(STEPS) / rng.integers(5, 60), 1)
        values_S = rng.binomial(SAMPLES, level_S) / SAMPLES
        monitor = Monitor(str(number), Alert(), Memory(tmp_path, str(number)))
        views = []
        for seen in range(10, STEPS + 1, 10):
            views.append(monitor.take(run_of(values_S[:seen], known), settled=True))
            if restarts and seen in (50, 90):
                values_S = values_S.copy()
                values_S[seen - 20 :] = rng.binomial(SAMPLES, level_S[seen - 20 :]) / SAMPLES
                views.append(monitor.take(run_of(values_S[: seen - 15], known), settled=True))
        accused += any(view is not None and view.alarm is not None for view in views)
    allowed = Alert().alpha * (2 if restarts else 1)
    print(f"noise known: {known}, restarts: {restarts}: {accused} of {RUNS} runs accused, stated {allowed:.0%}")
    assert accused <= allowed * RUNS


def test_a_fall_is_seen_in_such_runs(tmp_path: Path) -> None:
    """The same runs, fallen by 0.2 at step 80: else no alarm would be worth nothing."""
    rng = stream("watched, fallen")
    level_S = np.where(np.arange(STEPS) < 80, 0.6, 0.4)
    run = run_of(rng.binomial(SAMPLES, level_S) / SAMPLES, known=True)
    view = Monitor("x", Alert(), Memory(tmp_path, "x")).take(replace(run, name="x"), settled=True)
    assert view is not None
    assert view.alarm is not None
    assert 80 <= view.alarm.step <= 83
