"""Components of one's own, one file each, in a folder beside crestfall: a run finds them and they act."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from crestfall.cli.main import main
from crestfall.core import registry

CONTROL = """
from dataclasses import dataclass
from crestfall.control.base import Controller, State
from crestfall.core.registry import register
from crestfall.core.types import Decision, Record

@register("control", "own_stop")
@dataclass(frozen=True)
class OwnStop(Controller):
    after: int = 2

    def decide(self, state: State, record: Record) -> tuple[State, Decision]:
        return state, Decision("stop", 1, "enough") if record.step == self.after else Decision("continue")
"""
UPDATE = """
from dataclasses import dataclass
from crestfall.core.registry import register
from crestfall.testbed.updates.base import Advantages, UpdateRule

@register("update", "own_rule")
@dataclass(frozen=True, kw_only=True)
class OwnRule(UpdateRule):
    def advantages(self, passed_PG, state):
        return Advantages(passed_PG - 0.5, passed_PG * 0 + 0.5, state)
"""
PENALTIES = """
from dataclasses import dataclass
from crestfall.core.registry import register
from crestfall.testbed.updates.ewc import WeightPenalty
from crestfall.testbed.updates.kl import KLPenalty

@register("kl", "own_kl")
@dataclass(frozen=True, kw_only=True)
class OwnKL(KLPenalty):
    strength: float = 1.0

    def compared_with(self):
        return "base"

    def terms(self, logprobs_RT, reference_RT, state):
        penalty_RT = self.strength * (logprobs_RT - reference_RT - 1).square()
        return penalty_RT, penalty_RT.detach()

@register("ewc", "own_pull")
@dataclass(frozen=True, kw_only=True)
class OwnPull(WeightPenalty):
    strength: float = 1.0

    def held_at(self):
        return "start"

    def pull(self, parameters, anchor, importance):
        total = 0.0
        for name, parameter in parameters.items():
            moved = parameter.detach() - anchor[name] + 0.01
            parameter.grad = self.strength * moved if parameter.grad is None else parameter.grad + self.strength * moved
            total += self.strength / 2 * float(moved.square().sum())
        return total
"""
SMALL = """
plugins: [own_control, own_update, own_penalties]
seed: 5
campaign: {steps: 3, train: 4, select: 3, report: 3, problems_per_step: 2, group_size: 2, eval_samples: 2}
chain: {campaigns: 1, final: 4}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for kind in registry.kinds():
        registry.components(kind)
    monkeypatch.setattr(registry, "_COMPONENTS", {k: dict(v) for k, v in registry._COMPONENTS.items()})
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("own_control", CONTROL), ("own_update", UPDATE), ("own_penalties", PENALTIES)):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "run.yaml").write_text(SMALL)
    return tmp_path


def signals(folder: Path, out: str, *words: str) -> tuple[list[dict[str, float]], dict[str, object]]:
    """The signals of every step, and how the campaign ended."""
    assert main(["run", str(folder / "run.yaml"), *words, "--out", str(folder / out), "--json"]) == 0
    events = [json.loads(line) for line in (folder / out / "events.jsonl").read_text().splitlines()]
    (end,) = (e for e in events if e["type"] == "campaign_ended")
    return [e["signals"] for e in events if e["type"] == "step" and e["step"] > 0], end


def test_a_controller_stops_the_campaign(folder: Path) -> None:
    steps, end = signals(folder, "a", "control.name=own_stop")
    assert (len(steps), end["handed_on_step"]) == (2, 1)


def test_an_update_rule_and_penalties_act(folder: Path) -> None:
    update = "update={name: own_rule, clip_norm: 0, learning_rate: 1e-4"
    plain, _ = signals(folder, "plain", f"{update}}}")
    kl, _ = signals(folder, "kl", f"{update}, kl: {{name: own_kl, strength: 1e6}}}}")
    pull, _ = signals(folder, "pull", f"{update}, ewc: {{name: own_pull, strength: 1e6}}}}")
    assert kl[0]["kl_penalty"] > 1e5 > 0 == plain[0].get("kl_penalty", 0)
    assert kl[0]["grad_norm"] > 100 * plain[0]["grad_norm"]
    assert pull[0]["ewc_penalty"] > 0
    assert pull[0]["grad_norm"] > 100 * plain[0]["grad_norm"]
