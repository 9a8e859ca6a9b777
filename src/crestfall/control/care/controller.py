"""CARE between campaigns: memory, gate and belief revision put together, as the paper's v1 and v2 and its ablations.

All see select alone. Each campaign's plan is a `care` event with its evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from crestfall.control.capability import difference
from crestfall.control.care.base import Plan, State
from crestfall.control.care.belief import Belief, Surprise, surprise
from crestfall.control.care.gate import Gate, Judgement, Menu, Ratio, Verdict, compared, end_over_peak
from crestfall.control.care.memory import Context, Forecast, Memory, Recollection
from crestfall.core.registry import register
from crestfall.core.types import CampaignSummary

Evidence = dict[str, Any]
History = Sequence[CampaignSummary]


@dataclass(frozen=True)
class Learner(Judgement, Recollection):
    """What all with a memory do: take in the campaigns that are over, and foresee the next."""

    def init(self) -> State:
        return {"memory": self.recalled().to_json(), "seen": 0, "raised": 0.0}

    def remember(self, state: State, history: History) -> Mapping[str, Any]:
        memory: Mapping[str, Any] = self.learn(state, history)[0]["memory"]
        return memory

    def learn(self, state: State, history: History) -> tuple[dict[str, Any], Evidence]:
        """The state with the campaigns that it has not seen; the evidence tells of the last of them. A campaign
        without steps has tried nothing."""
        memory, raised = Memory.from_json(state["memory"]), state["raised"]
        evidence: Evidence = {}
        for i in range(state["seen"], len(history)):
            campaign = history[i]
            if campaign.steps == 0:
                continue
            context = self.context(history[:i], campaign.start)
            forecast = self.forecast(memory, context)
            observed = difference(campaign.capability_start, campaign.capability_handed_on)
            found = surprise(forecast, observed)
            tightened = self.tightened(found)
            if tightened:
                memory, raised = memory.revised(self.strategy), round(raised + tightened, 9)
            memory = self.recorded(memory, context, observed)
            evidence = told(observed, forecast, found) | {"revised": bool(tightened)}
        return {**state, "memory": memory.to_json(), "raised": raised, "seen": len(history)}, evidence

    def tightened(self, found: Surprise) -> float:
        """By how much a deviation from the forecast tightens the gate."""
        return 0.0

    def context(self, before: History, positive_rate: float) -> Context:
        ratio = end_over_peak(before[-1]) if before else 1.0
        return Context(positive_rate, ratio, len(before), self.log10_parameters)

    def foresee(self, state: State, history: History) -> Forecast:
        """What the next campaign is expected to do. Its positive rate is what the last one handed on; before the first,
        what campaigns of this strategy have started from so far."""
        memory = Memory.from_json(state["memory"])
        if history:
            last = history[-1]
            rate = last.capability_handed_on.get("pass_at_1", last.end)
        else:
            starts = [entry.context.positive_rate for entry in memory.of(self.strategy)]
            rate = sum(starts) / len(starts) if starts else 0.0
        return self.forecast(memory, self.context(history, rate))


@dataclass(frozen=True)
class Revising(Belief, Learner):
    """With belief revision."""

    def tightened(self, found: Surprise) -> float:
        return self.tighten if self.revises(found) else 0.0


@register("care", "care_v1")
@dataclass(frozen=True)
class CareV1(Ratio, Revising):
    """CARE v1: every campaign that ends below the threshold halves the learning rate of all that follow."""

    name: ClassVar[str]

    def init(self) -> State:
        return {**super().init(), "halvings": 0}

    def plan(self, state: State, budget: int, history: History) -> tuple[State, Plan]:
        state, evidence = self.learn(state, history)
        forecast = self.foresee(state, history)
        if history:
            ratio, level = end_over_peak(history[-1]), self.raised_to(self.threshold, state["raised"])
            fit, reason = ratio >= level, compared(ratio, level)
            evidence = {"ratio": ratio, "threshold": level} | evidence
        elif forecast.entries:
            verdict, reason = self.judge(forecast)
            fit = verdict == "reuse"
        else:
            fit, reason = True, "first campaign, nothing known"
        state = {**state, "halvings": state["halvings"] + (not fit)}
        evidence |= expected(forecast) | {"halvings": state["halvings"]}
        scale = 0.5 ** state["halvings"]
        return state, Plan(budget, scale, verdict="reuse" if fit else "halve", reason=reason, evidence=evidence)


@register("care", "care_v2")
@dataclass(frozen=True)
class CareV2(Gate, Revising):
    """CARE v2: a campaign that ends below the threshold makes the next one a pilot of half the steps."""

    name: ClassVar[str]

    def plan(self, state: State, budget: int, history: History) -> tuple[State, Plan]:
        state, evidence = self.learn(state, history)
        forecast = self.foresee(state, history)
        verdict: Verdict
        if history:
            verdict, reason, tested = self.test(history[-1], state["raised"])
            evidence = tested | evidence
        else:
            # Before there is a ratio, a memory that was carried over has the word.
            verdict, reason = self.judge(forecast) if forecast.entries else self.opening()
            if self.form == "deployed" and verdict != "reuse":
                verdict = "pilot"
        return state, self.plan_of(verdict, budget, reason, evidence | expected(forecast))


@register("care", "gate_only")
@dataclass(frozen=True)
class GateOnly(Gate):
    """Ablation of CARE v2: the test on end/peak with thresholds that never move; no memory, no beliefs."""

    name: ClassVar[str]

    def init(self) -> State:
        return {}

    def plan(self, state: State, budget: int, history: History) -> tuple[State, Plan]:
        verdict, reason, evidence = self.test(history[-1], 0.0) if history else (*self.opening(), {})
        return state, self.plan_of(verdict, budget, reason, evidence)

    def remember(self, state: State, history: History) -> Mapping[str, Any] | None:
        return None


@register("care", "memory_only")
@dataclass(frozen=True)
class MemoryOnly(Menu, Learner):
    """Ablation of CARE v2: the memory's forecast decides; no test on end/peak, no revision of beliefs."""

    name: ClassVar[str]

    def plan(self, state: State, budget: int, history: History) -> tuple[State, Plan]:
        state, evidence = self.learn(state, history)
        forecast = self.foresee(state, history)
        verdict, reason = self.judge(forecast)
        if verdict == "reject" and history and history[-1].steps == 0:
            # What was skipped has taught nothing: without a trial, it would be skipped for ever.
            verdict, reason = "pilot", f"{reason}; tried again after a skip"
        return state, self.plan_of(verdict, budget, reason, evidence | expected(forecast))


def expected(forecast: Forecast) -> Evidence:
    """What is foreseen of the next campaign, as evidence."""
    by_member = {f"expected.{member}": forecast.mean[member] for member in forecast.known}
    return {"entries": forecast.entries, "confidence": forecast.confidence} | by_member


def told(observed: Mapping[str, float], forecast: Forecast, found: Surprise) -> Evidence:
    """What a campaign did, and what had been foreseen of it, as evidence."""
    out: Evidence = {}
    for member, value in observed.items():
        out |= {f"observed.{member}": value, f"predicted.{member}": forecast.mean[member]}
    return out | {"distance2": found.distance2, "members": found.members, "p_value": found.p_value}
