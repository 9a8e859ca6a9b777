from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from safetensors.numpy import load_file

import fakes
from crestfall.control.care.base import Plan
from crestfall.core.errors import ConfigError
from crestfall.core.types import CampaignSummary, Decision
from crestfall.store.events import read_events
from crestfall.store.run_directory import read_meta
from crestfall.testbed.chain import Interrupted
from crestfall.testbed.config import RunConfig, run_config
from crestfall.testbed.session import train


def run(path: Path, config: RunConfig | None = None, **over: Any) -> list[dict[str, Any]]:
    train(config or run_config(fakes.options(**over)), path, {"made": "by a test"})
    return list(read_events(path / "events.jsonl"))


def of_type(events: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [event for event in events if event["type"] == kind]


def weights(path: Path, role: str) -> bytes:
    return load_file(path / "checkpoints" / role / "snapshot.safetensors")["policy/weights"].tobytes()


def test_what_happens_is_in_the_events(tmp_path: Path) -> None:
    events = run(tmp_path / "r")
    assert [event["seq"] for event in events] == list(range(len(events)))
    campaign = ["campaign_started", *["step"] * 7, "final", "final", "capability", "campaign_ended"]
    assert [event["type"] for event in events] == ["run_started", "final", *campaign, *campaign, "run_ended"]
    started = of_type(events, "campaign_started")
    assert [len(started[0][name]) for name in ("train", "select", "report")] == [8, 6, 6]
    meta = read_meta(tmp_path / "r")
    assert meta is not None
    assert (meta["status"], meta["provenance"]) == ("done", {"made": "by a test"})
    assert events[0]["config_digest"] == meta["config_digest"]


def test_campaigns_are_scored_on_report_and_summed_up_on_select(tmp_path: Path) -> None:
    events = run(tmp_path / "r")
    steps = [event for event in of_type(events, "step") if event["campaign"] == 0]
    ended = of_type(events, "campaign_ended")[0]
    report = [event["report"]["pass_at_1"] for event in steps]
    select = [event["select"]["pass_at_1"] for event in steps]
    peak_step = select.index(max(select))
    assert (ended["start"], ended["peak"], ended["end"]) == (report[0], report[peak_step], report[-1])
    assert ended["gap"] == report[peak_step] - report[-1]
    assert ended["summary"]["peak"] == select[peak_step]


def test_a_campaign_starts_from_what_was_handed_on(tmp_path: Path) -> None:
    events = run(tmp_path / "r", control={"name": "early_stop"})
    steps = {(event["campaign"], event["step"]): event for event in of_type(events, "step")}
    handed_on = of_type(events, "campaign_ended")[0]["handed_on_step"]
    ended = max(step for campaign, step in steps if campaign == 0)
    assert handed_on < ended
    first_final, second_final = of_type(events, "final")[1:3]
    assert (first_final["when"], first_final["step"]) == ("end", ended)
    assert (second_final["when"], second_final["step"]) == ("handed_on", handed_on)
    assert first_final["evaluation"] != second_final["evaluation"]


def test_weights_known_on_the_final_set_are_not_evaluated_again(tmp_path: Path) -> None:
    finals = of_type(run(tmp_path / "r"), "final")
    assert finals[1]["evaluation"] == finals[2]["evaluation"]  # last step handed on
    untouched = of_type(run(tmp_path / "u", control={"name": "fixed", "step": 0}), "final")
    assert len({str(event["evaluation"]) for event in untouched}) == 1


def test_links_name_last_best_and_handed_on_and_nothing_else_is_kept(tmp_path: Path) -> None:
    events = run(tmp_path / "r", control={"name": "early_stop"})
    ended = of_type(events, "campaign_ended")[-1]
    root = tmp_path / "r" / "checkpoints"
    links = {role: os.readlink(root / role) for role in ("last", "best", "handed_on")}
    assert links == {
        "last": f"campaign-001-step-{ended['steps']:03d}",
        "best": f"campaign-001-step-{ended['peak_step']:03d}",
        "handed_on": "campaign-001-handed-on",
    }
    kept = {entry.name for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()}
    assert kept == set(links.values())
    assert weights(tmp_path / "r", "best") == weights(tmp_path / "r", "handed_on")


@pytest.mark.parametrize(("problems", "equal"), [("same", True), ("fresh", False)])
def test_problems_of_later_campaigns(tmp_path: Path, problems: str, equal: bool) -> None:
    events = run(tmp_path / "r", chain={"campaigns": 2, "final": 10, "problems": problems})
    first, second = of_type(events, "campaign_started")
    assert (first["train"] == second["train"]) is equal


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path / "r")
    before = (tmp_path / "r" / "events.jsonl").read_bytes()
    assert train(run_config(fakes.options()), tmp_path / "r", {}) is False
    assert (tmp_path / "r" / "events.jsonl").read_bytes() == before


PRECISE = {"campaign": fakes.options()["campaign"] | {"steps": 16, "select": 30, "eval_samples": 32}}


@pytest.mark.parametrize(
    "over",
    [
        {"control": {"name": "early_stop", "then": "go_on", "margin": 1}},
        PRECISE | {"control": {"name": "crest"}},
        PRECISE | {"control": {"name": "crest2"}},
        PRECISE | {"control": {"name": "race", "steps": 1, "between": 2}},
    ],
)
def test_it_stops_after_any_commit_and_goes_on_as_if_nothing_had_been(tmp_path: Path, over: dict[str, Any]) -> None:
    config = run_config(fakes.options(**over))
    undisturbed = run(tmp_path / "whole", config)
    assert of_type(undisturbed, "rollback")
    for _ in range(100):
        try:
            train(config, tmp_path / "cut", {"made": "by a test"}, should_stop=lambda: True)
            break
        except Interrupted:
            assert read_meta(tmp_path / "cut")["status"] == "interrupted"  # type: ignore[index]
    assert timeless(read_events(tmp_path / "cut" / "events.jsonl")) == timeless(undisturbed)
    assert weights(tmp_path / "cut", "handed_on") == weights(tmp_path / "whole", "handed_on")


def timeless(events: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in event.items() if k not in ("time", "seconds")} for event in events]


MEAN = fakes.options()["campaign"] | {"hand_on": "mean"}


def test_an_average_is_handed_on_and_scored_as_such(tmp_path: Path) -> None:
    events = run(tmp_path / "r", campaign=MEAN, control={"name": "early_stop"})
    steps = [event["step"] for event in of_type(events, "step") if event["campaign"] == 0]
    handed_on = load_file(tmp_path / "r" / "checkpoints" / "campaign-001-handed-on" / "snapshot.safetensors")
    target = of_type(events, "campaign_ended")[1]["handed_on_step"]
    assert len(handed_on["average/all"]) == target + 1
    np.testing.assert_array_equal(handed_on["policy/weights"], handed_on["average/all"].mean(axis=0))
    assert handed_on["policy/weights"].tobytes() == weights(tmp_path / "r", "handed_on")
    end, scored = of_type(events, "final")[1:3]
    assert (end["when"], end["step"], scored["when"]) == ("end", steps[-1], "handed_on")
    assert "evaluate" in scored["seconds"]
    # The next campaign starts from the average: it is the first of its own.
    np.testing.assert_array_equal(handed_on["average/all"][0], first_average(tmp_path / "first"))


def test_a_mean_that_a_controller_names_is_handed_on_and_scored_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(fakes.options(chain={"campaigns": 1, "final": 10}))
    control, update, seen = type(config.control), fakes.FakeEngine.update, [np.zeros(4)]
    monkeypatch.setattr(control, "keep", lambda self, state: frozenset(range(7)))
    monkeypatch.setattr(control, "last", lambda self, state, step: Decision("stop", step, "up", average=(0, 5, 6)))

    def noted(engine: fakes.FakeEngine, rollouts: Any) -> Any:
        signals = update(engine, rollouts)
        seen.append(engine.weights.copy())
        return signals

    monkeypatch.setattr(fakes.FakeEngine, "update", noted)
    events = run(tmp_path / "r", config)
    handed_on = load_file(tmp_path / "r" / "checkpoints" / "handed_on" / "snapshot.safetensors")["policy/weights"]
    np.testing.assert_allclose(handed_on, (seen[0] + seen[5] + seen[6]) / 3)
    end, scored = of_type(events, "final")[1:3]
    assert (end["when"], scored["when"], scored["step"]) == ("end", "handed_on", 6)
    assert end["evaluation"] != scored["evaluation"]


def first_average(path: Path) -> Any:
    run(path, campaign=MEAN, control={"name": "early_stop"}, chain={"campaigns": 1, "final": 10})
    return load_file(path / "checkpoints" / "handed_on" / "snapshot.safetensors")["policy/weights"]


def test_an_average_is_scored_even_where_the_last_step_is_handed_on(tmp_path: Path) -> None:
    finals = of_type(run(tmp_path / "r", campaign=MEAN), "final")
    assert finals[1]["step"] == finals[2]["step"]
    assert finals[1]["evaluation"] != finals[2]["evaluation"]


def test_an_average_survives_interruption(tmp_path: Path) -> None:
    config = run_config(fakes.options(campaign=MEAN, control={"name": "early_stop", "then": "go_on", "margin": 1}))
    undisturbed = run(tmp_path / "whole", config)
    for _ in range(100):
        try:
            train(config, tmp_path / "cut", {"made": "by a test"}, should_stop=lambda: True)
            break
        except Interrupted:
            pass
    assert timeless(read_events(tmp_path / "cut" / "events.jsonl")) == timeless(undisturbed)
    assert weights(tmp_path / "cut", "handed_on") == weights(tmp_path / "whole", "handed_on")


def test_an_engine_without_an_average_says_so_before_it_trains(tmp_path: Path) -> None:
    config = run_config(fakes.options(campaign=MEAN | {"hand_on": "ema"}))
    with pytest.raises(ConfigError, match=r"campaign\.hand_on: engine 'fake' keeps no average"):
        train(config, tmp_path / "r", {})
    assert not of_type(list(read_events(tmp_path / "r" / "events.jsonl")), "step")


def test_a_failure_is_left_in_the_run_and_can_be_gone_on_from(tmp_path: Path) -> None:
    config = run_config(fakes.options(engine={"name": "fake", "fail_at": 3}))
    with pytest.raises(RuntimeError, match="told to fail"):
        train(config, tmp_path / "r", {})
    meta = read_meta(tmp_path / "r")
    assert meta is not None
    assert (meta["status"], meta["error"]) == ("failed", "RuntimeError: the fake engine was told to fail")
    assert of_type(list(read_events(tmp_path / "r" / "events.jsonl")), "step")[-1]["step"] == 2


def test_another_machine_is_noted(tmp_path: Path) -> None:
    config = run_config(fakes.options())
    for machine in ("a", "a", "b", "b", "a"):
        with pytest.raises(Interrupted):
            train(config, tmp_path / "r", {"machine": machine}, should_stop=lambda: True)
    meta = read_meta(tmp_path / "r")
    assert meta is not None
    assert (meta["provenance"], meta["resumed_under"]) == ({"machine": "a"}, [{"machine": "b"}])


@dataclass(frozen=True)
class Halving:
    """A chain controller that halves budget and learning rate in every campaign."""

    name: ClassVar[str] = "halving"

    def init(self) -> dict[str, Any]:
        return {"campaigns": 0}

    def plan(
        self, state: Mapping[str, Any], budget: int, history: Sequence[CampaignSummary]
    ) -> tuple[dict[str, Any], Plan]:
        assert len(history) == state["campaigns"]
        scale = 0.5 ** len(history)
        return {"campaigns": len(history) + 1}, Plan(int(budget * scale), scale, verdict="pilot", reason="because")

    def remember(self, state: Mapping[str, Any], history: Sequence[CampaignSummary]) -> None:
        return None


def test_a_chain_controller_plans_each_campaign(tmp_path: Path) -> None:
    config = replace(run_config(fakes.options()), care=Halving())
    scales: list[float] = []
    engine = config.engine.create(config)
    begin = engine.begin_campaign

    def spy(campaign: int, learning_rate_scale: float = 1.0) -> None:
        scales.append(learning_rate_scale)
        begin(campaign, learning_rate_scale)

    engine.begin_campaign = spy  # type: ignore[method-assign]

    @dataclass(frozen=True)
    class Factory:
        name: ClassVar[str] = "fake"

        def create(self, config: RunConfig) -> fakes.FakeEngine:
            return engine

    events = run(tmp_path / "r", replace(config, engine=Factory()))  # type: ignore[arg-type]
    assert [event["budget"] for event in of_type(events, "campaign_started")] == [6, 3]
    assert [event["steps"] for event in of_type(events, "campaign_ended")] == [6, 3]
    assert [event["verdict"] for event in of_type(events, "care")] == ["pilot", "pilot"]
    assert scales == [1.0, 0.5]


def test_a_learning_rate_that_was_too_high_stays_reduced(tmp_path: Path) -> None:
    events = run(tmp_path / "r", control={"name": "crest"}, chain={"campaigns": 3, "final": 10}, **PRECISE)
    rolled = [e["campaign"] for e in of_type(events, "rollback")]
    assert 0 in rolled
    left = [e["summary"]["learning_rate_scale"] for e in of_type(events, "campaign_ended")]
    assert left == [0.5 ** sum(c <= campaign for c in rolled) for campaign in range(3)]


def test_sinks_are_told_what_was_written_and_closed(tmp_path: Path) -> None:
    class Sink:
        def __init__(self) -> None:
            self.told: list[Any] = []
            self.closed = False

        def event(self, event: Mapping[str, Any]) -> None:
            self.told.append(event)

        def close(self) -> None:
            self.closed = True

    sink = Sink()
    train(run_config(fakes.options()), tmp_path / "r", {}, lambda _: [sink])
    assert sink.told == list(read_events(tmp_path / "r" / "events.jsonl"))
    assert sink.closed
