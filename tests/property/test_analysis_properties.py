"""What must hold for every curve: invariances, bounds, and logs torn anywhere."""

from __future__ import annotations

import json
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crestfall.analysis.analyze import analyze
from crestfall.analysis.bootstrap import iqm, mean_interval
from crestfall.analysis.classify import classify
from crestfall.analysis.compare import compare, holm, probability_of_improvement, sign_flip_p_value
from crestfall.analysis.importers.base import Column
from crestfall.analysis.importers.history import tidy
from crestfall.analysis.importers.load import load
from crestfall.analysis.measures import measure_campaign
from crestfall.analysis.noise import noise_of, unimodal_fit
from crestfall.analysis.null import statistics
from crestfall.analysis.scan import fall_of
from crestfall.analysis.trajectory import FloatArray, Trajectory
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import InputError
from crestfall.core.rng import stream
from research.paper.aggregate import improvement_interval, iqm_interval
from research.paper.oracle import hindsight_oracle, stopped_oracle, trace_oracle

# Scores on a grid, as pass rates are: no two differ by rounding alone.
SCORES = st.integers(0, 480).map(lambda count: count / 480)
# A few lengths, so that the null of each is drawn once.
CURVES = st.sampled_from([1, 2, 4, 9, 25]).flatmap(lambda size: arrays(np.float64, size, elements=SCORES))
UNTIMED = settings(deadline=None, max_examples=40)


def curve(values_S: FloatArray, steps_S: FloatArray | None = None) -> Trajectory:
    steps = np.arange(len(values_S)) if steps_S is None else steps_S
    return Trajectory("t", Path("t"), "m", "", steps, values_S)


@UNTIMED
@given(CURVES)
def test_a_curve_that_never_falls_has_gap_0_and_neither_onset_nor_score(values_S: FloatArray) -> None:
    m = measure_campaign(curve(np.sort(values_S)))
    assert m.gap == 0
    assert not m.collapsed
    assert m.onset is None
    assert m.onset_for_good is None
    assert m.phase_transition is None


@UNTIMED
@given(CURVES)
def test_bounds(values_S: FloatArray) -> None:
    m = measure_campaign(curve(values_S))
    assert 0 <= m.gap <= m.peak <= 1
    assert m.phase_transition is None or 0 < m.phase_transition <= 1
    assert m.onset is None or m.peak_step < m.onset <= m.end_step
    assert (m.phase_transition is None) == (m.gap == 0)


@UNTIMED
@given(CURVES, st.integers(1, 50), st.integers(-100, 100))
def test_affine_relabelling_of_steps_moves_steps_alone(values_S: FloatArray, factor: int, shift: int) -> None:
    plain = analyze(curve(values_S))
    moved = analyze(curve(values_S, np.arange(len(values_S)) * factor + shift))
    assert repr(moved.classification) == repr(plain.classification)  # NaN where nothing is known of the noise
    assert moved.measures.gap == plain.measures.gap
    assert moved.measures.peak_step == plain.measures.peak_step * factor + shift
    assert moved.onset == (None if plain.onset is None else plain.onset * factor + shift)


@UNTIMED
@given(CURVES, st.sampled_from([2.0, 64.0, 0.25]))
def test_p_values_know_no_units(values_S: FloatArray, factor: float) -> None:
    before = fall_of(values_S, noise_of(values_S)).p_value
    assert fall_of(values_S * factor, noise_of(values_S * factor)).p_value == before


@UNTIMED
@given(CURVES)
def test_upwards_nothing_falls(values_S: FloatArray) -> None:
    assert classify(np.sort(values_S)).label in ("rise", "flat", "too_few_points")
    assert classify(np.sort(values_S)[::-1]).label in ("decline", "collapse", "flat", "too_few_points")


@UNTIMED
@given(CURVES)
def test_unimodal_fit_rises_then_falls_and_keeps_the_sum(values_S: FloatArray) -> None:
    fit_S = unimodal_fit(values_S)
    top = int(np.argmax(fit_S))
    assert (np.diff(fit_S[: top + 1]) >= -1e-12).all()
    assert (np.diff(fit_S[top:]) <= 1e-12).all()
    assert np.isclose(fit_S.sum(), values_S.sum())


@UNTIMED
@given(arrays(np.float64, st.integers(4, 12), elements=SCORES), st.floats(-5, 5), st.sampled_from([0.5, 2.0, 8.0]))
def test_intervals_move_with_their_data(values_N: FloatArray, shift: float, factor: float) -> None:
    for method in ("percentile", "studentised"):
        plain = mean_interval(values_N, stream("t"), method, resamples=200)  # type: ignore[arg-type]
        moved = mean_interval(values_N * factor + shift, stream("t"), method, resamples=200)  # type: ignore[arg-type]
        assert np.isclose(moved.low, plain.low * factor + shift, atol=1e-9)
        assert np.isclose(moved.high, plain.high * factor + shift, atol=1e-9)


@UNTIMED
@given(arrays(np.float64, st.integers(1, 10), elements=st.integers(-20, 20).map(float)))
def test_sign_flip_is_two_sided_and_a_p_value(d_N: FloatArray) -> None:
    p = sign_flip_p_value(d_N)
    assert 2 ** -len(d_N) < p <= 1
    assert p == sign_flip_p_value(-d_N) == sign_flip_p_value(d_N[::-1])


@UNTIMED
@given(st.lists(CURVES, min_size=1, max_size=4), st.integers(1, 5))
def test_oracles_bound_each_other_and_every_end(curves: list[FloatArray], margin: int) -> None:
    campaigns = [curve(values_S) for values_S in curves]
    trace, hindsight = trace_oracle(campaigns), hindsight_oracle(campaigns)
    stopped = stopped_oracle(campaigns, EarlyStop(margin=margin))
    ends, starts = np.mean([v[-1] for v in curves]), np.mean([v[0] for v in curves])
    assert hindsight.picked + 1e-12 >= trace.picked >= max(ends, stopped.picked) - 1e-12
    assert stopped.picked >= starts - 1e-12
    assert trace.scored is hindsight.scored is stopped.scored is None
    longest = max(map(len, curves))
    assert np.isclose(stopped_oracle(campaigns, EarlyStop(margin=longest)).picked, trace.picked)
    assert np.isclose(trace_oracle(campaigns[::-1]).picked, trace.picked)


@UNTIMED
@given(CURVES)
def test_replicates_of_a_null_are_measured_as_campaigns_are(values_S: FloatArray) -> None:
    m, r = measure_campaign(curve(values_S)), statistics(values_S[None], values_S[None], np.arange(len(values_S)) * 1.0)
    assert (r.picked_B[0], r.peak_B[0], r.end_B[0]) == (m.peak_as_selected, m.peak, m.end)
    assert (r.gap_B[0], r.collapsed_B[0]) == (m.gap, m.collapsed)
    for null, measured in (
        (r.onset_B[0], m.onset),
        (r.onset_for_good_B[0], m.onset_for_good),
        (r.phase_transition_B[0], m.phase_transition),
    ):
        assert np.isnan(null) if measured is None else null == measured


@UNTIMED
@given(
    st.dictionaries(st.integers(0, 99), st.tuples(SCORES, SCORES), min_size=2, max_size=8),
    st.integers(1, 1000),
    st.randoms(use_true_random=False),
)
def test_comparisons_know_neither_the_order_nor_the_names_of_seeds(  # type: ignore[no-untyped-def]
    pairs: dict[int, tuple[float, float]], shift: int, random
) -> None:
    (plain,) = compare("a", {s: x for s, (x, _) in pairs.items()}, {"b": {s: y for s, (_, y) in pairs.items()}})
    shuffled = list(pairs.items())
    random.shuffle(shuffled)
    (other,) = compare(
        "a", {s + shift: x for s, (x, _) in shuffled}, {"b": {s + shift: y for s, (_, y) in reversed(shuffled)}}
    )
    assert other.seeds == tuple(s + shift for s in plain.seeds)
    assert (other.differences, other.interval, other.claim) == (plain.differences, plain.interval, plain.claim)
    assert (other.gains, other.sign_flip_p_value, other.t_p_value) == (
        plain.gains,
        plain.sign_flip_p_value,
        plain.t_p_value,
    )


SEEDS = arrays(np.float64, st.integers(4, 9), elements=SCORES)


@UNTIMED
@given(SEEDS, SEEDS)
def test_robust_summaries_keep_their_bounds_and_symmetries(x_N: FloatArray, y_M: FloatArray) -> None:
    assert x_N.min() <= iqm(x_N) <= x_N.max()
    assert np.isclose(iqm(x_N[::-1]), iqm(x_N))
    assert np.isclose(iqm(x_N * 2 - 1), iqm(x_N) * 2 - 1)
    trimmed = iqm_interval(x_N, stream("t"), resamples=100)
    assert x_N.min() - 1e-12 <= trimmed.low <= trimmed.high <= x_N.max() + 1e-12
    better = probability_of_improvement(x_N, y_M)
    assert np.isclose(better + probability_of_improvement(y_M, x_N), 1)
    assert better == probability_of_improvement(x_N**3, y_M**3) == probability_of_improvement(x_N[::-1], y_M)
    interval = improvement_interval(x_N, y_M, stream("t"), resamples=100)
    assert -1e-12 <= interval.low <= interval.high <= 1 + 1e-12


@UNTIMED
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_only_raises_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    for (p, a), (q, b) in zip(zip(p_values, adjusted, strict=True), zip(p_values, adjusted, strict=True), strict=True):
        assert (p <= q) <= (a <= b)


@UNTIMED
@given(st.dictionaries(st.integers(0, 100), SCORES, min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(points: dict[int, float], random) -> None:  # type: ignore[no-untyped-def]
    rows = list(points.items())
    random.shuffle(rows)
    shuffled = tidy(column(rows))
    series = shuffled.series
    assert dict(zip(series.steps_S.tolist(), series.values_S.tolist(), strict=True)) == points
    assert shuffled.notes == tidy(column(sorted(points.items()))).notes


def column(rows: list[tuple[int, float]]) -> Column:
    return Column(np.array([step for step, _ in rows]), np.array([value for _, value in rows]))


@UNTIMED
@given(st.lists(st.tuples(st.integers(0, 20), SCORES), min_size=1))
def test_every_step_once_and_in_order_whatever_was_restarted(rows: list[tuple[int, float]]) -> None:
    series = tidy(column(rows)).series
    assert (np.diff(series.steps_S) > 0).all()
    assert series.steps_S[-1] <= max(step for step, _ in rows)
    last_step = rows[-1][0]
    last = [value for _, value in takewhile(lambda row: row[0] == last_step, reversed(rows))]
    at = np.flatnonzero(series.steps_S == last_step)
    assert series.values_S[at[0]] == pytest.approx(np.mean(last))


@UNTIMED
@given(st.integers(1, 400))
def test_a_log_torn_anywhere_loses_its_last_row_at_most(tmp_path_factory, cut: int) -> None:  # type: ignore[no-untyped-def]
    whole = "".join(json.dumps({"step": s, "reward": s / 16}) + "\n" for s in range(10))
    torn = whole[: min(cut, len(whole))]
    path = tmp_path_factory.mktemp("torn") / "x.jsonl"
    path.write_text(torn)
    rows = sum(1 for line in torn.split("\n") if line.endswith("}"))
    try:
        (t,) = load([path])
    except InputError:
        assert rows == 0
    else:
        assert len(t) == rows
