"""CARE between campaigns: a memory, a gate and the revision of beliefs, each of which can be left out.

All see select alone. Each campaign's plan is a `care` event with its evidence. The paper's v1 and v2 and its ablations
are presets: names for `care` with other defaults.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from crestfall.control.capability import difference
from crestfall.control.care.base import ChainController, Plan, State
from crestfall.control.care.belief import Belief, Surprise, surprise
from crestfall.control.care.gate import Gate, Response, end_over_peak
from crestfall.control.care.memory import Context, Forecast, Memory, Recollection, Verdict
from crestfall.core.errors import ConfigError
from crestfall.core.registry import register
from crestfall.core.types import CampaignSummary

Evidence = dict[str, Any]
History = Sequence[CampaignSummary]


@register("care", "care")
@dataclass(frozen=True)
class Care(ChainController):
    """Memory, gate and belief revision as you choose; `null` leaves a part out."""

    name: ClassVar[str]

    gate: Gate | None = field(default_factory=Gate)
    """The test of a campaign's end score against its peak. Without it (`null`), the memory's forecast decides."""
    memory: Recollection | None = field(default_factory=Recollection)
    """Memory of what earlier campaigns gained. It forecasts the next one."""
    belief: Belief | None = field(default_factory=Belief)
    """Belief revision: a campaign that is worse than its forecast makes the gate stricter. It needs a memory, which
    makes the forecast."""
    response: Response = field(default_factory=Response)
    """Reaction if the gate finds that the last campaign ended too far below its peak."""

    def __post_init__(self) -> None:
        if self.gate is None and self.memory is None:
            raise ConfigError("care: expected a gate or a memory, there is neither")
        if self.belief is not None and self.memory is None:
            raise ConfigError("care.belief: needs care.memory, whose forecast it is held against")

    def init(self) -> State:
        state: dict[str, Any] = {}
        if self.memory is not None:
            state = {"memory": self.memory.recalled().to_json(), "seen": 0, "raised": 0.0}
        return state | ({"halvings": 0} if self.response.doubt == "halve" else {})

    def plan(self, state: State, budget: int, history: History) -> tuple[State, Plan]:
        forecast, evidence = None, Evidence()
        if self.memory is not None:
            state, evidence = self._learn(self.memory, state, history)
            forecast = self._foresee(self.memory, state, history)
        verdict, reason, tested = self._decide(forecast, state.get("raised", 0.0), history)
        evidence = tested | evidence | ({} if forecast is None else expected(forecast))
        if self.response.doubt == "shorten":
            return state, self.response.plan_of(verdict, budget, reason, evidence)
        halvings = state["halvings"] + (verdict != "reuse")
        word = "reuse" if verdict == "reuse" else "halve"
        plan = Plan(budget, 0.5**halvings, verdict=word, reason=reason, evidence=evidence | {"halvings": halvings})
        return {**state, "halvings": halvings}, plan

    def remember(self, state: State, history: History) -> Mapping[str, Any] | None:
        if self.memory is None:
            return None
        memory: Mapping[str, Any] = self._learn(self.memory, state, history)[0]["memory"]
        return memory

    def _decide(self, forecast: Forecast | None, raised: float, history: History) -> tuple[Verdict, str, Evidence]:
        """The verdict on the next campaign, why, and the evidence of the test."""
        if self.gate is not None and history:
            return self.gate.test(history[-1], raised)
        # Before there is a ratio, a memory that was carried over has the word.
        if self.gate is not None and (forecast is None or not forecast.entries):
            return *self.gate.opening(), {}
        assert self.memory is not None
        assert forecast is not None
        verdict, reason = self.memory.judge(forecast)
        if self.gate is not None and self.gate.form == "deployed" and verdict != "reuse":
            verdict = "pilot"
        if verdict == "reject" and history and history[-1].steps == 0:
            # What was skipped has taught nothing: without a trial, it would be skipped for ever.
            verdict, reason = "pilot", f"{reason}; tried again after a skip"
        return verdict, reason, {}

    def _learn(self, recollection: Recollection, state: State, history: History) -> tuple[dict[str, Any], Evidence]:
        """The state with the campaigns that it has not seen; the evidence tells of the last of them. A campaign
        without steps has tried nothing."""
        memory, raised = Memory.from_json(state["memory"]), state["raised"]
        evidence: Evidence = {}
        for i in range(state["seen"], len(history)):
            campaign = history[i]
            if campaign.steps == 0:
                continue
            context = _context(recollection, history[:i], campaign.start)
            forecast = recollection.forecast(memory, context)
            observed = difference(campaign.capability_start, campaign.capability_handed_on)
            found = surprise(forecast, observed)
            tightened = 0.0 if self.belief is None else self.belief.tightened(found)
            if tightened:
                memory, raised = memory.revised(recollection.strategy), round(raised + tightened, 9)
            memory = recollection.recorded(memory, context, observed)
            evidence = told(observed, forecast, found) | {"revised": bool(tightened)}
        return {**state, "memory": memory.to_json(), "raised": raised, "seen": len(history)}, evidence

    def _foresee(self, recollection: Recollection, state: State, history: History) -> Forecast:
        """Forecast of the next campaign. Its positive rate is that of the final weights of the last campaign or, before
        the first, the rate from which campaigns of this strategy have started so far."""
        memory = Memory.from_json(state["memory"])
        if history:
            last = history[-1]
            rate = last.capability_handed_on.get("pass_at_1", last.end)
        else:
            starts = [entry.context.positive_rate for entry in memory.of(recollection.strategy)]
            rate = sum(starts) / len(starts) if starts else 0.0
        return recollection.forecast(memory, _context(recollection, history, rate))


@register("care", "care_v1")
@dataclass(frozen=True)
class CareV1(Care):
    """CARE v1: every campaign that ends below the threshold halves the learning rate of all that follow."""

    name: ClassVar[str]

    response: Response = field(default_factory=lambda: Response(doubt="halve"))
    """Reaction if the gate finds that the last campaign ended too far below its peak: half the learning rate,
    permanently."""


@register("care", "care_v2")
@dataclass(frozen=True)
class CareV2(Care):
    """CARE v2: a campaign that ends below the threshold makes the next one a pilot of half the steps."""

    name: ClassVar[str]


@register("care", "gate_only")
@dataclass(frozen=True)
class GateOnly(Care):
    """Ablation of CARE v2: the test on end/peak with thresholds that never move; no memory, no beliefs."""

    name: ClassVar[str]

    memory: Recollection | None = None
    """Off in this ablation: no memory."""
    belief: Belief | None = None
    """Off in this ablation: the gate's threshold never moves."""


@register("care", "memory_only")
@dataclass(frozen=True)
class MemoryOnly(Care):
    """Ablation of CARE v2: the memory's forecast decides; no test on end/peak, no revision of beliefs."""

    name: ClassVar[str]

    gate: Gate | None = None
    """Off in this ablation: the memory's forecast decides."""
    belief: Belief | None = None
    """Off in this ablation: no belief revision."""


def _context(recollection: Recollection, before: History, positive_rate: float) -> Context:
    ratio = end_over_peak(before[-1]) if before else 1.0
    return Context(positive_rate, ratio, len(before), recollection.log10_parameters)


def expected(forecast: Forecast) -> Evidence:
    """Forecast of the next campaign, as evidence."""
    by_member = {f"expected.{member}": forecast.mean[member] for member in forecast.known}
    return {"entries": forecast.entries, "confidence": forecast.confidence} | by_member


def told(observed: Mapping[str, float], forecast: Forecast, found: Surprise) -> Evidence:
    """Result and forecast of a campaign, as evidence."""
    out: Evidence = {}
    for member, value in observed.items():
        out |= {f"observed.{member}": value, f"predicted.{member}": forecast.mean[member]}
    return out | {"distance2": found.distance2, "members": found.members, "p_value": found.p_value}
