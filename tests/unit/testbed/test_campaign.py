from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fakes
from crestfall.core.errors import ConfigError
from crestfall.core.types import Decision, Record
from crestfall.store.checkpoints import flat
from crestfall.testbed.campaign import CampaignState, draw, finite, run_campaign
from crestfall.testbed.config import RunConfig, run_config


class Memory:
    """A store without a disk."""

    def __init__(self) -> None:
        self.snapshots: dict[str, Any] = {}
        self.commits: list[tuple[list[Any], CampaignState]] = []

    def save(self, name: str, snapshot: Any) -> None:
        self.snapshots[name] = snapshot

    def load(self, name: str) -> Any:
        return self.snapshots[name]

    def commit(self, events: Any, campaign: CampaignState) -> None:
        self.commits.append((list(events), campaign))


def config(steps: int = 12, **over: Any) -> RunConfig:
    options = fakes.options(**over)
    options["campaign"] = options["campaign"] | {"steps": steps} | over.get("campaign", {})
    return run_config(options)


def run(config: RunConfig) -> tuple[CampaignState, Memory, fakes.FakeEngine]:
    engine, store = config.engine.create(config), Memory()
    engine.begin_campaign(0)
    state = CampaignState(0, config.campaign.steps, dict(config.control.init()))
    sets = config.tasks.campaign(config.seed, 0, config.campaign.sizes)
    return run_campaign(config, sets, engine, state, store), store, engine


def steps(store: Memory) -> list[dict[str, Any]]:
    return [event for events, _ in store.commits for event in events if event["type"] == "step"]


def test_without_control_every_step_is_taken_and_the_last_handed_on() -> None:
    state, store, _ = run(config())
    assert [event["step"] for event in steps(store)] == list(range(13))
    assert (state.stop, state.handed_on_step, state.step) == ("budget", 12, 12)
    assert steps(store)[0]["verdicts"] == {}
    assert sum(steps(store)[1]["verdicts"].values()) == 4 * 4
    assert state.select_S == tuple(event["select"]["pass_at_1"] for event in steps(store))


def test_a_controller_sees_select_and_never_report() -> None:
    seen: list[Record] = []

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(base.control, name)

        def decide(self, state: Any, record: Record) -> Any:
            seen.append(record)
            return base.control.decide(state, record)

    base = config(steps=3)
    _, store, _ = run(replace(base, control=Spy()))
    for record, event in zip(seen, steps(store), strict=True):
        assert list(record.counts_P) == event["select"]["passed"]
        assert record.signals == event["signals"]


def test_stop_hands_on_the_peak_of_select() -> None:
    state, _, _ = run(config(control={"name": "early_stop"}))
    peak = max(range(len(state.select_S)), key=lambda step: state.select_S[step])
    assert (state.handed_on_step, state.step) == (peak, peak + 3)
    assert state.stop.startswith("nothing above")
    assert str(peak) in state.snapshots
    assert state.summary().peak_step == peak


def rolled_back(restore: str) -> tuple[fakes.FakeEngine, Memory, CampaignState]:
    """A campaign cut off right after its first rollback."""
    options = config(control={"name": "early_stop", "then": "go_on"}, campaign={"restore": restore})
    engine, store = options.engine.create(options), Memory()

    class Cut(Exception): ...

    def commit(events: Any, campaign: CampaignState) -> None:
        store.commits.append((list(events), campaign))
        if events[-1]["type"] == "rollback":
            raise Cut

    store.commit = commit  # type: ignore[method-assign]
    engine.begin_campaign(0)
    sets = options.tasks.campaign(0, 0, options.campaign.sizes)
    with pytest.raises(Cut):
        run_campaign(options, sets, engine, CampaignState(0, 12, dict(options.control.init())), store)
    return engine, store, store.commits[-1][1]


def test_rollback_restores_weights_and_optimizer() -> None:
    engine, store, state = rolled_back("weights_and_optimizer")
    target = store.commits[-1][0][-1]["target_step"]
    assert_equal(engine.snapshot(), store.snapshots[f"campaign-000-step-{target:03d}"])
    assert_equal(engine.snapshot(), store.snapshots[state.current])


def test_rollback_of_weights_leaves_the_optimizer() -> None:
    engine, store, state = rolled_back("weights")
    target = store.snapshots[f"campaign-000-step-{store.commits[-1][0][-1]['target_step']:03d}"]
    np.testing.assert_array_equal(engine.snapshot()["policy"]["weights"], target["policy"]["weights"])
    assert not np.array_equal(engine.snapshot()["optimizer"]["momentum"], target["optimizer"]["momentum"])
    assert_equal(engine.snapshot(), store.snapshots[state.current])


def test_after_a_rollback_the_counter_goes_on_with_new_samples() -> None:
    _, store, _ = run(config(steps=12, control={"name": "early_stop", "then": "go_on"}))
    assert [event["step"] for event in steps(store)] == list(range(13))
    rolled = [event for events, _ in store.commits for event in events if event["type"] == "rollback"]
    assert rolled
    assert all(event["target_step"] < event["step"] for event in rolled)


def test_a_rollback_may_slow_down_what_follows() -> None:
    base = config(steps=12, control={"name": "early_stop", "then": "go_on"})

    class Slower:
        def __getattr__(self, name: str) -> Any:
            return getattr(base.control, name)

        def decide(self, state: Any, record: Record) -> Any:
            state, decision = base.control.decide(state, record)
            return state, replace(decision, learning_rate_scale=0.5 if decision.action == "rollback" else 1.0)

    slower = replace(base, control=Slower())
    engine, store = slower.engine.create(slower), Memory()
    engine.begin_campaign(0, 0.8)
    sets = slower.tasks.campaign(0, 0, slower.campaign.sizes)
    state = CampaignState(0, 12, dict(slower.control.init()), learning_rate_scale=0.8, slowed=0.5)
    rates = []
    store.commit = lambda events, campaign: rates.append(  # type: ignore[method-assign]
        ([e["learning_rate_scale"] for e in events if e["type"] == "rollback"], campaign.rate, engine.scale)
    )
    end = run_campaign(slower, sets, engine, state, store)
    rollbacks = sum(len(scales) for scales, _, _ in rates)
    assert rollbacks >= 2
    assert end.summary().learning_rate_scale == end.slowed == 0.5 * 0.5**rollbacks
    assert end.rate == engine.scale == 0.8 * end.slowed
    first = next(i for i, (scales, _, _) in enumerate(rates) if scales)
    assert rates[first] == ([0.5], 0.2, 0.2)


def test_a_fall_that_is_seen_at_the_last_step_slows_the_next_campaign() -> None:
    base = config(steps=3)

    class AtTheEnd:
        def __getattr__(self, name: str) -> Any:
            return getattr(base.control, name)

        def decide(self, state: Any, record: Record) -> Any:
            return state, Decision("rollback", 1, "", {}, 0.5) if record.step == 3 else Decision("continue")

    state, store, _ = run(replace(base, control=AtTheEnd()))
    assert (state.stop, state.handed_on_step) == ("budget", 3)
    assert state.summary().learning_rate_scale == 0.5
    assert not [event for events, _ in store.commits for event in events if event["type"] == "rollback"]


def test_only_last_peak_and_kept_snapshots_are_needed() -> None:
    _, store, _ = run(config(control={"name": "early_stop", "then": "go_on"}))
    for _, state in store.commits:
        assert len(state.snapshots) <= 2
        assert {str(state.step), str(state.peak_step)} <= set(state.snapshots)


def test_no_steps_at_all_is_an_evaluation() -> None:
    state, store, _ = run(config(control={"name": "fixed", "step": 0}))
    assert len(store.commits) == 1
    assert (state.step, state.handed_on_step) == (0, 0)


def test_programs_are_shown_from_report() -> None:
    _, store, _ = run(config(steps=2))
    (shown,) = steps(store)[1]["shown"]
    assert shown["task_id"].startswith("report")
    assert shown["verdict"] == "passed"


def test_what_is_not_finite_is_not_there() -> None:
    assert finite({"a": 1, "b": float("nan"), "c": float("inf")}) == {"a": 1.0}
    _, store, _ = run(config(steps=2))
    assert "entropy" not in steps(store)[1]["signals"]  # the fake engine returns NaN for it


def test_every_epoch_is_shuffled_and_none_comes_twice_before_all_have() -> None:
    options = config()
    train = fakes.problems("train", 8)
    batches = [draw(train, options, 0, step) for step in range(1, 9)]
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        assert Counter(p.task_id for p in first + second) == Counter(p.task_id for p in train)
    assert [p.task_id for p in batches[0]] != [p.task_id for p in batches[2]]
    assert draw(train, options, 1, 1) != batches[0]


def test_a_remainder_never_repeats_a_problem_within_a_step() -> None:
    options, train = config(campaign={"problems_per_step": 3}), fakes.problems("train", 8)
    for step in range(1, 30):
        assert len({p.task_id for p in draw(train, options, 0, step)}) == 3


def assert_equal(a: Any, b: Any) -> None:
    a, b = dict(flat(a)), dict(flat(b))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def scripted(base: RunConfig, script: dict[int, Decision], last: Decision | None = None) -> RunConfig:
    """A controller that says what it is told to, and keeps every step."""

    class Scripted:
        def __getattr__(self, name: str) -> Any:
            return getattr(base.control, name)

        def decide(self, state: Any, record: Record) -> Any:
            return {"steps": record.step}, script.get(record.step, Decision("continue"))

        def keep(self, state: Any) -> frozenset[int]:
            return frozenset(range(state["steps"] + 1))

        def last(self, state: Any, step: int) -> Decision:
            return last or Decision("stop", step, "used up")

    return replace(base, control=Scripted())


def test_a_decision_may_change_the_rate_and_train_on() -> None:
    options = scripted(config(steps=3), {1: Decision("continue", learning_rate_scale=1.5)})
    state, store, engine = run(options)
    assert (state.slowed, engine.scale, state.step) == (1.5, 1.5, 3)
    assert [commit.current for _, commit in store.commits][1] == "campaign-000-step-001"  # nothing more to save
    assert not [event for events, _ in store.commits for event in events if event["type"] == "rollback"]


def test_a_decision_may_forget_the_optimizer() -> None:
    options = scripted(config(steps=2), {1: Decision("continue", forget_optimizer=True)})
    _, store, _ = run(options)
    before, after = (store.snapshots[name] for name in ("campaign-000-step-001", "campaign-000-step-001-changed"))
    np.testing.assert_array_equal(before["policy"]["weights"], after["policy"]["weights"])
    assert before["optimizer"]["momentum"].any()
    assert not after["optimizer"]["momentum"].any()
    assert store.commits[1][1].current == "campaign-000-step-001-changed"  # a resume goes on from there


def test_a_decision_may_average_and_train_on_or_go_back() -> None:
    for decision in (Decision("continue", average=(1, 2, 3)), Decision("rollback", 1, average=(1, 2, 3))):
        _, store, _ = run(scripted(config(steps=3, campaign={"steps": 4}), {3: decision}))
        names = [f"campaign-000-step-{step:03d}" for step in (1, 2, 3)]
        mean = np.mean([store.snapshots[name]["policy"]["weights"] for name in names], axis=0)
        changed = store.snapshots["campaign-000-step-003-changed"]
        np.testing.assert_allclose(changed["policy"]["weights"], mean)
        source = names[0] if decision.action == "rollback" else names[2]
        np.testing.assert_array_equal(
            changed["optimizer"]["momentum"], store.snapshots[source]["optimizer"]["momentum"]
        )


def test_a_mean_that_is_handed_on_is_remembered() -> None:
    last = Decision("stop", 3, "used up", average=(2, 3))
    state, _, _ = run(scripted(config(steps=3), {}, last))
    assert (state.handed_on_step, state.handed_on_average) == (3, (2, 3))
    assert {"2", "3"} <= set(state.snapshots)


def test_a_step_that_was_not_kept_is_said_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"names step 99, which `keep` did not name; kept are: 0, 1"):
        run(scripted(config(steps=3), {1: Decision("continue", average=(0, 99))}))


def test_a_duel_compares_with_a_kept_step_on_the_same_random_numbers_and_changes_nothing() -> None:
    base = config(steps=6)
    state, store, _ = run(base)

    class Duelling:
        def __init__(self) -> None:
            self.seen: list[Record] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(base.control, name)

        def init(self) -> Any:
            return {"step": None}

        def decide(self, state: Any, record: Record) -> Any:
            self.seen.append(record)
            return {"step": record.step}, Decision("continue")

        def keep(self, state: Any) -> frozenset[int]:
            return frozenset({0})

        def rival(self, state: Any) -> int | None:
            return None if state["step"] is None else 0

    control = Duelling()
    fought, other, _ = run(replace(base, control=control))
    assert (fought.select_S, fought.report_S) == (state.select_S, state.report_S)
    assert_equal(store.snapshots["campaign-000-step-006"], other.snapshots["campaign-000-step-006"])
    assert control.seen[0].duel is None
    total = base.campaign.select * base.campaign.eval_samples
    for record, event in zip(control.seen[1:], steps(other)[1:], strict=True):
        assert record.duel is not None
        assert event["duel"] == {"rival_step": 0, "wins": record.duel.wins, "losses": record.duel.losses}
        # The same numbers: who has the higher chance passes whatever the other one passes.
        assert min(record.duel.wins, record.duel.losses) == 0
        rival = record.value - (record.duel.wins - record.duel.losses) / total
        assert 0 <= rival <= 1
    assert "duel" not in steps(store)[1]
