"""Where two runs part: at the step at which they do, not before it, and seldom where nothing but noise differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crestfall.analysis.diff import MOST_POINTS, Parting, diff, parting, settings
from crestfall.analysis.noise import ar1
from crestfall.analysis.trajectory import FloatArray, Series, Trajectory

NOISE = 0.03


def series(values_S: FloatArray) -> Series:
    return Series(np.arange(len(values_S)), np.asarray(values_S, dtype=np.float64))


def noisy(rng: np.random.Generator, size: int, rho: float = 0.0) -> FloatArray:
    return np.minimum(0.2 + 0.02 * np.arange(size), 0.6) + NOISE * ar1(rng, 1, size, rho)[0]


def part(a_S: FloatArray, b_S: FloatArray, known: bool) -> Parting:
    error_S = np.full(len(a_S), NOISE) if known else None
    return parting(series(a_S), series(b_S), error_S, error_S)


@pytest.mark.parametrize(
    ("size", "known", "rho"), [(12, True, 0.0), (50, True, 0.0), (50, False, 0.0), (50, False, 0.5)]
)
def test_noise_alone_seldom_differs(size: int, known: bool, rho: float) -> None:
    rng = np.random.default_rng(1)
    found = [part(noisy(rng, size, rho), noisy(rng, size, rho), known).step is not None for _ in range(100)]
    assert sum(found) <= 10  # 5 are expected at most


@pytest.mark.parametrize(("known", "late"), [(True, 4), (False, 25)])
def test_a_real_difference_is_seen_and_not_before_it_begins(known: bool, late: int) -> None:
    rng = np.random.default_rng(2)
    seen = []
    for _ in range(30):
        b_S = noisy(rng, 80)
        b_S[40:] -= 0.15
        seen.append(part(noisy(rng, 80), b_S, known).step)
    steps = [step for step in seen if step is not None]
    assert len(steps) >= 28
    assert sum(40 <= step <= 40 + late for step in steps) >= 25


def test_equal_curves_do_not_differ_at_all() -> None:
    values_S = noisy(np.random.default_rng(3), 30)
    same = part(values_S, values_S, known=False)
    assert (same.step, same.p_value, same.difference) == (None, 1.0, 0.0)


def test_one_spike_of_unknown_noise_is_no_difference() -> None:
    rng = np.random.default_rng(4)
    a_S, b_S = noisy(rng, 60), noisy(rng, 60)
    b_S[30] += 50
    assert part(a_S, b_S, known=False).step is None


def test_long_curves_are_averaged_and_steps_stay_theirs() -> None:
    rng = np.random.default_rng(5)
    size = 20 * MOST_POINTS
    b_S = noisy(rng, size)
    b_S[size // 2 :] += 0.1
    step = part(noisy(rng, size), b_S, known=False).step
    assert step is not None
    assert size // 2 <= step <= 0.6 * size


def test_few_points_are_judged_where_the_noise_is_known() -> None:
    a_S, b_S = np.array([0.5, 0.6, 0.6]), np.array([0.5, 0.2, 0.1])
    assert part(a_S, b_S, known=True).step == 1
    assert not part(a_S, b_S, known=False).judged
    apart = parting(Series(np.arange(5), np.ones(5)), Series(np.arange(5) + 9, np.ones(5)), None, None)
    assert (apart.judged, apart.points) == (False, 0)


def trajectory(name: str, values_S: FloatArray, **signals: FloatArray) -> Trajectory:
    return Trajectory(
        name=name,
        source=Path(name),
        metric="acc",
        why="",
        steps_S=np.arange(len(values_S)),
        values_S=values_S,
        standard_errors_S=np.full(len(values_S), NOISE),
        signals={key: series(values) for key, values in signals.items()},
    )


def test_which_signal_differed_first() -> None:
    rng = np.random.default_rng(6)
    fallen_S = noisy(rng, 80)
    fallen_S[50:] -= 0.4
    entropy_S = 1 + 0.05 * rng.standard_normal((2, 80))
    entropy_S[1, 30:] -= 0.8
    still_S = rng.standard_normal((2, 80))
    found = diff(
        trajectory("a", noisy(rng, 80), entropy=entropy_S[0], kl=still_S[0], mine=still_S[0]),
        trajectory("b", fallen_S, entropy=entropy_S[1], kl=still_S[1], yours=still_S[1]),
    )
    assert found.first == "entropy"
    assert [name for name, _ in found.signals] == ["entropy"]
    assert found.compared == 2
    assert found.score.step is not None
    assert 50 <= found.score.step <= 53


def test_settings_are_compared_for_run_directories_only(tmp_path: Path) -> None:
    assert settings(tmp_path, tmp_path) is None
    for name, rate in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        config = f'{{"config": {{"update": {{"rate": {rate}, "same": 1}}, "{name}": []}}}}'
        (tmp_path / name / "run.json").write_text(config)
    found = settings(tmp_path / "a", tmp_path / "b")
    assert found == {"update.rate": (1, 2), "a": ([], None), "b": (None, [])}
