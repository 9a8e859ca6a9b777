"""CARE in a chain with the fake engine: what is decided, carried out, written down and remembered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_chain import of_type, run, timeless, weights

import fakes
from crestfall.control.capability import capability
from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation
from crestfall.store.checkpoints import Checkpoints
from crestfall.store.events import read_events
from crestfall.testbed.chain import Interrupted
from crestfall.testbed.config import run_config
from crestfall.testbed.session import train

# A step size at which campaigns of the fake overshoot: the first ends far below its peak.
COLLAPSING = {"update": {"name": "fake", "learning_rate": 0.4}}


def chain(**over: Any) -> dict[str, Any]:
    return {"campaigns": 3, "final": 10} | over


FOUR_WAY = {"form": "four_way", "reuse_from": 1.0, "adapt_from": 1.0, "pilot_from": 1.0}


def care_run(path: Path, care: dict[str, Any], **over: Any) -> list[dict[str, Any]]:
    return run(path, **{**COLLAPSING, "chain": chain(), "care": care, **over})


def test_every_campaign_has_a_care_event_with_evidence(tmp_path: Path) -> None:
    events = care_run(tmp_path / "r", {"name": "care_v2"})
    plans, started, ended = (of_type(events, kind) for kind in ("care", "campaign_started", "campaign_ended"))
    assert [plan["campaign"] for plan in plans] == [0, 1, 2]
    assert plans[0]["verdict"] == "reuse"
    assert [plan["budget"] for plan in plans] == [s["budget"] for s in started] == [e["steps"] for e in ended]
    for plan, before in zip(plans[1:], ended, strict=False):
        summary = before["summary"]
        assert plan["evidence"]["ratio"] == summary["end"] / summary["peak"]
        assert (plan["verdict"] == "reuse") is (plan["evidence"]["ratio"] >= plan["evidence"]["threshold"])
        delta = summary["capability_handed_on"]["pass_at_1"] - summary["capability_start"]["pass_at_1"]
        assert plan["evidence"]["observed.pass_at_1"] == delta
    assert [plan["verdict"] for plan in plans[1:]].count("pilot") >= 1
    assert {plan["budget"] for plan in plans if plan["verdict"] == "pilot"} == {3}


def test_v1_trains_at_half_the_rate(tmp_path: Path) -> None:
    plans = of_type(care_run(tmp_path / "r", {"name": "care_v1", "gate": {"threshold": 1.0}}), "care")
    scales = [plan["learning_rate_scale"] for plan in plans]
    assert scales[0] == 1.0
    assert scales[-1] == 0.5 ** [plan["verdict"] for plan in plans].count("halve") < 1


def test_reject_goes_back_to_the_peak_and_skips(tmp_path: Path) -> None:
    gate = {"name": "gate_only", "gate": FOUR_WAY}
    events = care_run(tmp_path / "r", gate)
    first, second = of_type(events, "campaign_ended")[:2]
    assert first["peak_step"] < first["steps"]
    assert of_type(events, "care")[1]["verdict"] == "reject"
    assert (second["steps"], second["handed_on_step"]) == (0, 0)
    back = next(e for e in of_type(events, "final") if e["when"] == "rolled_back")
    assert (back["campaign"], back["step"]) == (1, first["peak_step"])
    after = [e for e in of_type(events, "final") if e["campaign"] == 1 and e["when"] in ("end", "handed_on")]
    assert all(e["evaluation"] == back["evaluation"] for e in after)
    assert back["evaluation"]["pass_at_1"] > of_type(events, "final")[2]["evaluation"]["pass_at_1"]
    # Nothing was learnt or lost: the third campaign is judged on one that did not fall.
    assert of_type(events, "care")[2]["evidence"]["ratio"] == 1.0


def test_the_weights_after_a_reject_are_those_of_the_peak(tmp_path: Path) -> None:
    gate = {"name": "gate_only", "gate": FOUR_WAY}
    care_run(tmp_path / "skipped", gate, chain=chain(campaigns=2))
    care_run(tmp_path / "one", {"name": "none"}, chain=chain(campaigns=1))
    assert weights(tmp_path / "skipped", "handed_on") == weights(tmp_path / "one", "best")
    assert weights(tmp_path / "skipped", "handed_on") != weights(tmp_path / "one", "last")


def test_the_memory_outlives_the_chain_and_changes_the_next_ones_first_decision(tmp_path: Path) -> None:
    care_run(tmp_path / "a", {"name": "care_v2", "memory": {"strategy": "hot"}})
    memory = json.loads((tmp_path / "a" / "memory.json").read_text())
    assert len(memory["entries"]) == 3  # the last campaign too
    carried = {"name": "care_v2", "memory": {"strategy": "hot", "file": str(tmp_path / "a" / "memory.json")}}
    fresh, warned = (
        of_type(care_run(tmp_path / name, care, seed=1), "care")[0]
        for name, care in (("b", {"name": "care_v2", "memory": {"strategy": "hot"}}), ("c", carried))
    )
    assert (fresh["verdict"], fresh["budget"]) == ("reuse", 6)
    assert (warned["verdict"], warned["budget"]) == ("pilot", 3)
    assert len(json.loads((tmp_path / "c" / "memory.json").read_text())["entries"]) == 6


def test_a_memory_that_cannot_be_read_stops_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "memory.json").write_text('{"format": "crest')
    with pytest.raises(InputError, match=r"memory\.json: cannot be read"):
        care_run(tmp_path / "r", {"name": "care_v2", "memory": {"file": str(tmp_path / "memory.json")}})
    assert not (tmp_path / "r").exists()


def test_a_run_goes_on_without_the_memory_that_it_started_with(tmp_path: Path) -> None:
    care_run(tmp_path / "a", {"name": "care_v2"})
    path = tmp_path / "a" / "memory.json"
    options = fakes.options(**COLLAPSING, care={"name": "care_v2", "memory": {"file": str(path)}})
    with pytest.raises(Interrupted):
        train(run_config(options), tmp_path / "r", {}, should_stop=lambda: True)
    path.unlink()
    assert train(run_config(options), tmp_path / "r", {})


@pytest.mark.parametrize(
    "care",
    [
        {"name": "care_v2"},
        {"name": "gate_only", "gate": FOUR_WAY},
    ],
    ids=lambda care: care["name"],
)
def test_stopped_after_every_commit_it_decides_the_same(tmp_path: Path, care: dict[str, Any]) -> None:
    options = fakes.options(**COLLAPSING, chain=chain(ood=4, revisit=2, hard_cases=4), care=care)
    options["campaign"] |= {"steps": 4}
    whole = run(tmp_path / "whole", run_config(options))
    for _ in range(100):
        try:
            train(run_config(options), tmp_path / "cut", {"made": "by a test"}, should_stop=lambda: True)
            break
        except Interrupted:
            pass
    assert timeless(read_events(tmp_path / "cut" / "events.jsonl")) == timeless(whole)
    assert weights(tmp_path / "cut", "handed_on") == weights(tmp_path / "whole", "handed_on")
    if care["name"] != "gate_only":
        assert (tmp_path / "cut" / "memory.json").read_bytes() == (tmp_path / "whole" / "memory.json").read_bytes()


def test_it_combines_with_a_campaign_controller_by_configuration(tmp_path: Path) -> None:
    for update in (COLLAPSING["update"], {"name": "fake", "learning_rate": 0.1}):
        path = tmp_path / str(update["learning_rate"])
        events = care_run(path, {"name": "care_v2"}, control={"name": "early_stop", "margin": 1}, update=update)
        assert len(of_type(events, "care")) == 3
        for ended in of_type(events, "campaign_ended"):
            assert ended["handed_on_step"] == ended["peak_step"]


def test_controllers_see_select_alone(tmp_path: Path) -> None:
    events = care_run(tmp_path / "r", {"name": "care_v2"})
    for event, ended in zip(of_type(events, "capability"), of_type(events, "campaign_ended"), strict=True):
        assert ended["summary"]["capability_start"] == event["select"]["start"]
        assert ended["summary"]["capability_handed_on"] == event["select"]["handed_on"]
        assert event["select"] != event["report"]


def test_capability_is_that_of_the_steps_evaluations(tmp_path: Path) -> None:
    options = {"campaign": fakes.options()["campaign"] | {"eval_samples": 16}, "chain": chain(hard_cases=8)}
    events = care_run(tmp_path / "r", {"name": "none"}, control={"name": "early_stop"}, **options)
    steps = {(e["campaign"], e["step"]): e for e in of_type(events, "step")}
    started = {e["campaign"]: e for e in of_type(events, "campaign_started")}
    for event in of_type(events, "capability"):
        for name in ("select", "report"):
            for when, step in event["steps"].items():
                evaluation = Evaluation.from_json(steps[event["campaign"], step][name])
                hard = started[event["campaign"]]["hard"][name]
                assert len(hard) == 2
                assert event[name][when] == capability(evaluation, hard)
                assert {"pass_at_1", "pass_at_16", "hard_case_accuracy"} <= event[name][when].keys()


def test_the_capability_of_an_average_is_that_of_the_average(tmp_path: Path) -> None:
    campaign = fakes.options()["campaign"] | {"hand_on": "mean"}
    events = care_run(tmp_path / "r", {"name": "care_v2"}, campaign=campaign)
    config = run_config(fakes.options())
    for event, ended in zip(of_type(events, "capability"), of_type(events, "campaign_ended"), strict=True):
        number = event["campaign"]
        if number == len(of_type(events, "capability")) - 1:
            engine = config.engine.create(config)
            engine.load_weights(Checkpoints(tmp_path / "r/checkpoints").load("handed_on"))
            key = ("evaluate", 0, number, "handed_on", "select")
            found = engine.evaluate(config.tasks.campaign(0, number, config.campaign.sizes).select, 16, key)
            assert event["select"]["handed_on"] == capability(found.evaluation)
        assert event["select"]["handed_on"] != event["select"]["end"]
        assert ended["summary"]["capability_handed_on"] == event["select"]["handed_on"]
