"""Early warning: planted signs announce falls in regimes never seen, placebos do not, and nothing looks ahead."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crestfall.core.errors import InputError
from crestfall.core.rng import stream
from research.early_warning.__main__ import main
from research.early_warning.ceiling import oracle
from research.early_warning.chains import Chain, chain_lines, read_all
from research.early_warning.combined import combined_alarms, logistic
from research.early_warning.detector import alarms, standardised
from research.early_warning.entries import PICKED, placebos, several, signals_of, single
from research.early_warning.outcome import early_stop, ends, kept_best, outcome, stopped
from research.early_warning.panel import BELOW, SCORE, Panel, change
from research.early_warning.placebo import random_walk, swapped
from research.early_warning.public import RULES, public_alarms
from research.early_warning.states import State, states_of
from research.early_warning.tables import acting, ceiling, falls, rules, signals
from research.early_warning.tables import placebos as placebo_table

STEPS = 16


def chain(regime: str, seed: int, fall: int | None, level: float = 0.0) -> Chain:
    """Rises by 3 points a step and falls to nothing. `sign` is high two steps before; `idle` knows nothing."""
    rng = stream("early warning test", regime, seed)
    report = 0.3 + 0.03 * np.arange(STEPS + 1)
    sign, idle = rng.normal(level, 1, STEPS + 1), rng.normal(0, 1, STEPS + 1)
    if fall is not None:
        report[fall:] = 0.0
        sign[max(1, fall - 2) :] += 20
    values = {"sign": sign, "idle": idle, "entropy": np.full(STEPS + 1, 0.8), "length": 10 + sign}
    lists = {name: (None, *map(float, v[1:])) for name, v in values.items()}
    scores = tuple(map(float, report))
    return Chain(regime, "x1", seed, scores, scores, lists)


def study(regimes: int = 6, seeds: int = 10) -> Panel:
    """Every third chain falls, at steps 6 to 10."""
    return Panel(
        tuple(chain(f"r{r}", s, 6 + (r + s) % 5 if s % 3 == 0 else None) for r in range(regimes) for s in range(seeds))
    )


PANEL = study()


def test_a_chain_falls_where_two_scores_in_a_row_are_far_below_the_best() -> None:
    def fall(*report: float) -> int | None:
        return replace(chain("r", 0, None), report=report).fall

    assert fall(0.2, 0.4, 0.25, 0.25, 0.5) == 2
    assert fall(0.2, 0.4, 0.25, 0.3, 0.2) is None  # one low score is noise, and so is one at the end
    assert fall(0.5, 0.1, 0.1) == 1
    assert fall(0.2, 0.3, 0.4) is None


def test_landmarks_end_before_the_fall() -> None:
    panel = Panel((chain("a", 0, 4), chain("a", 1, None), chain("a", 2, 1)))
    assert [np.flatnonzero(row).tolist() for row in panel.open_CS] == [[1, 2, 3], list(range(1, 17)), []]
    assert panel.quiet_C.tolist() == [False, True, False]
    assert panel.warnable_C.tolist() == [True, False, False]


def test_what_is_recorded_gains_the_score_and_loses_what_never_moves() -> None:
    recorded = PANEL.recorded()
    assert set(recorded) == {"sign", "idle", "length", SCORE}  # entropy is constant, and nothing falls below its best
    assert np.isnan(recorded["sign"][:, 0]).all()
    assert BELOW not in recorded
    np.testing.assert_allclose(change(recorded[SCORE])[0, 2:5], 0.06)


def test_values_count_within_their_step() -> None:
    clock_CS = np.broadcast_to(np.arange(STEPS + 1.0), PANEL.open_CS.shape)
    z_CS = standardised(clock_CS, PANEL, PANEL.quiet_C)
    assert np.abs(z_CS[PANEL.open_CS]).max() == 0
    assert np.isnan(z_CS[~PANEL.open_CS]).all()


def test_spread_is_the_interquartile_range_of_the_step() -> None:
    values_CS = stream("z").normal(size=PANEL.open_CS.shape) * np.arange(1, STEPS + 2)
    z_CS = standardised(values_CS, PANEL, PANEL.quiet_C)
    known = values_CS[PANEL.quiet_C, 5]
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(z_CS[PANEL.quiet_C, 5], (known - middle) / ((high - low) / 1.349))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_planted_sign_announces_whichever_way_it_points(sign: float) -> None:
    found = outcome(alarms(sign * PANEL.recorded()["sign"], PANEL), PANEL)
    assert found.announced == 1.0
    assert found.lead == 2.0
    assert found.false_alarms < 0.15


def test_the_regime_that_is_left_out_teaches_nothing() -> None:
    """Quiet chains that look like falling ones elsewhere: their alarms are false, however high their values are."""
    odd = tuple(chain("odd", s, None, level=20.0) for s in range(10))
    panel = Panel((*PANEL.chains, *odd))
    odd_C = panel.regimes_C == "odd"
    alarm_C = alarms(panel.recorded()["sign"], panel)
    assert (alarm_C[odd_C] == 1).all()
    moved = Panel((*PANEL.chains, *(chain("odd", s, None, level=500.0) for s in range(10))))
    assert (alarms(moved.recorded()["sign"], moved)[odd_C] == 1).all()


def test_nothing_that_comes_later_moves_an_alarm() -> None:
    values_CS = PANEL.recorded()["sign"]
    alarm_C = alarms(values_CS, PANEL)
    late_CS = np.where(np.arange(STEPS + 1) >= np.where(PANEL.falls_C > 0, PANEL.falls_C, STEPS + 1)[:, None], 1e9, 0.0)
    np.testing.assert_array_equal(alarms(values_CS + late_CS, PANEL), alarm_C)


def test_false_alarms_are_counted_in_runs() -> None:
    """Over many studies of noise, about 5% of the runs of a regime that was left out have an alarm: at most, and not
    far less."""
    rates, early = [], []
    for number in range(60):
        found = outcome(alarms(random_walk(PANEL, number), PANEL), PANEL)
        rates.append(found.false_alarms)
        early.append(found.announced)
    assert 0.02 < np.mean(rates) < 0.065
    assert np.mean(early) < 0.065


def test_too_few_quiet_chains_raise_no_alarm() -> None:
    few = Panel(tuple(c for c in PANEL.chains if c.seed < 4))
    assert not alarms(few.recorded()["sign"], few).any()


def test_swapped_signals_keep_the_arm_and_lose_the_chain() -> None:
    values_CS = PANEL.recorded()["sign"]
    for shift in range(3):
        other_CS = swapped(values_CS, PANEL, shift)
        for arm in np.unique(PANEL.arms_C):
            among = PANEL.arms_C == arm
            own = np.sort(np.where(PANEL.open_CS, values_CS, np.nan)[among], axis=0)
            np.testing.assert_array_equal(np.sort(other_CS[among], axis=0), own)
        assert not any(np.array_equal(a, b, equal_nan=True) for a, b in zip(other_CS, values_CS, strict=True))


def test_a_sign_of_the_chain_is_told_from_one_of_the_arm() -> None:
    first = single(signals_of(PANEL), PANEL)[0]
    assert first.name.startswith(("sign", "length"))
    assert first.swapped is not None
    assert first.within is not None
    assert first.within.estimate > 0.75  # it comes up two steps before, and three count
    assert first.outcome.worth > 0.8 > 0.4 > first.swapped


def test_combinations_find_the_sign_without_being_told() -> None:
    known = signals_of(PANEL)
    both = {e.name: e.outcome for e in several(known, PANEL)}
    assert both[PICKED].worth > 0.8
    assert outcome(combined_alarms(known, PANEL), PANEL).worth > 0.7


def test_logistic_regression_is_the_penalised_maximum() -> None:
    rng = stream("logistic")
    x_NF = rng.normal(size=(400, 3))
    y_N = rng.random(400) < 1 / (1 + np.exp(-(x_NF[:, 0] - 1)))
    w = logistic(x_NF, y_N)
    design = np.column_stack([np.ones(400), x_NF])
    slope = design.T @ (y_N - 1 / (1 + np.exp(-design @ w))) - 10 * np.array([0, *w[1:]])
    np.testing.assert_allclose(slope, 0, atol=1e-3)


def test_acting_is_scored_on_report_and_chosen_on_select() -> None:
    one = replace(
        chain("a", 0, None), select=(0.2, 0.5, 0.4, 0.3, 0.2, 0.9), report=(0.25, 0.45, 0.5, 0.3, 0.1, 0.7), signals={}
    )
    panel = Panel((one,))
    assert ends(panel).tolist() == [0.7]
    assert early_stop(panel).tolist() == [4]
    assert kept_best(panel, early_stop(panel)).tolist() == [0.45]
    assert kept_best(panel, panel.length_C).tolist() == [0.7]
    assert stopped(np.array([0]), panel).tolist() == [5]
    assert stopped(np.array([2]), panel).tolist() == [2]


def test_public_rules_hold_where_they_say() -> None:
    made = public_alarms(PANEL.recorded() | {"entropy": np.full(PANEL.open_CS.shape, 0.4)}, PANEL)
    assert (made["entropy below 0.5 nats"] == 1).all()
    spikes = made["length above 1.5 times its mean"][PANEL.warnable_C]
    assert (spikes == np.maximum(5, PANEL.falls_C[PANEL.warnable_C] - 2)).all()  # it waits for four steps
    assert "truncated above 20%" not in made  # not recorded
    assert set(made) < set(RULES)


def test_states_before_falls_and_quiet_ones_are_forked() -> None:
    assert [(s.step, s.falls_in) for s in states_of(chain("a", 0, 8))] == [(7, 1), (5, 3)]
    assert [(s.step, s.falls_in) for s in states_of(chain("a", 0, 2))] == [(1, 1)]
    assert [(s.step, s.falls_in) for s in states_of(chain("a", 0, None))] == [(5, None)]
    assert states_of(chain("a", 0, 8))[0].best == pytest.approx(0.3 + 0.03 * 7)


def state(shares: int, falls_in: int | None = None) -> State:
    forks = tuple((0.1, 0.1) if n < shares else (0.6, 0.1) for n in range(8))
    return State("r", "x1", 0, 5, falls_in, 0.5, forks)


def test_an_oracle_of_the_shares_is_the_ceiling() -> None:
    assert state(3).fallen == (True,) * 3 + (False,) * 5
    assert oracle([state(8), state(0), state(0)]) == (1.0, 1.0)
    knowing, split = oracle(
        [state(4) for _ in range(20)]
    )  # all alike: pointing at any of them is too many false alarms
    assert knowing == 0.0
    assert split < 0.1


def test_tables_and_published_chains_come_out_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "chains.jsonl", tmp_path / "page"
    source.write_text(chain_lines(PANEL.chains))
    out.mkdir()
    (out / "forks.jsonl").write_text(json.dumps({**vars(state(3, 1)), "forks": [[0.1, 0.1]] * 8}) + "\n")
    page = tmp_path / "page.md"
    page.write_text("x\n<!--signals-->\n<!--/signals-->\n<!--ceiling-->\n<!--/ceiling-->\n")
    assert main([str(source), "--out", str(out)]) == 0
    assert "60 chains, 24 falls in 6 regimes" in capsys.readouterr().out
    assert (out / "chains.jsonl").read_text() == source.read_text()
    assert "| sign |" in page.read_text()
    assert "1 states" in page.read_text()
    assert {path.stem for path in out.glob("*.csv")} == {"falls", "signals", "rules", "placebos", "acting", "ceiling"}
    first = page.read_text()
    assert main([str(out / "chains.jsonl"), "--out", str(out)]) == 0
    assert page.read_text() == first


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    source = tmp_path / "chains.jsonl"
    source.write_text(chain_lines(PANEL.chains[:1]) + '{"regime": "a"}\n')
    with pytest.raises(InputError, match=r"chains\.jsonl:2: arm"):
        main([str(source), "--out", str(tmp_path / "page")])
    assert not (tmp_path / "page").exists()


def test_a_source_without_chains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished chain"):
        main([str(tmp_path), "--out", str(tmp_path / "page")])


def test_every_table_has_a_row_for_what_was_tried() -> None:
    known = signals_of(PANEL)
    ranked, both = single(known, PANEL), several(known, PANEL)
    assert len(signals(ranked).rows) == len(known)
    assert len(signals(ranked, 2).rows) == 2
    assert falls(PANEL).rows[-1][:4] == ("all", 60, 24, 0)
    assert len(acting([*both, *ranked[:1]], PANEL).rows) == 6
    assert len(rules(both, ()).rows) == 2
    assert [row[1] for row in placebo_table(placebos(known, PANEL)).rows] == [1, 20, 20, len(known)]
    assert ceiling([state(8, 1), state(0), state(4)]).rows[0][:4] == ("falls 1 step(s) later", 1, 8, 1.0)


def test_chains_of_several_sources_are_one_each(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(chain_lines(PANEL.chains))
    (tmp_path / "b.jsonl").write_text(chain_lines(PANEL.chains[:1]))
    assert len(read_all([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])) == 60
