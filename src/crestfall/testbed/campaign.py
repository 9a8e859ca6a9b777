"""One campaign: steps on one fixed set of problems, until the budget is used or the controller stops.

Does not know where weights live on disk, what a chain is, or what a controller thinks: it draws, samples, grades,
updates, evaluates, asks for a decision, carries it out and records it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from crestfall.control.capability import capability
from crestfall.core.errors import ConfigError
from crestfall.core.rng import stream
from crestfall.core.types import CampaignSummary, Decision, Duel, Evaluation, Problem, Record, Rollouts, Snapshot
from crestfall.testbed.config import RunConfig
from crestfall.testbed.duels import duel
from crestfall.testbed.engines.base import Engine, EvaluationResult, Shown
from crestfall.testbed.tasks.base import CampaignSets

Event = dict[str, Any]

HANDED_ON = "handed_on"
"""Key of the evaluations of the final weights, if they are not those of a step (an average)."""


@dataclass(frozen=True)
class CampaignState:
    """State of a campaign after a step: all that it needs, beside the weights, to continue in another process."""

    campaign: int
    budget: int
    control: dict[str, Any]
    """The controller's state."""
    learning_rate_scale: float = 1.0
    """The chain controller's wish for this campaign."""
    slowed: float = 1.0
    """Learning-rate multiplier of all decisions, those of earlier campaigns included."""
    step: int = -1
    """The last finished step; 0 is the evaluation before any update."""
    select_S: tuple[float, ...] = ()
    """pass@1 on select after steps 0, 1, ..."""
    report_S: tuple[float, ...] = ()
    current: str | None = None
    """The snapshot that holds the weights and optimizer of now; None before step 0."""
    snapshots: dict[str, str] = field(default_factory=dict)
    """Step (as text, for JSON) -> snapshot that a decision may still go back to."""
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Step (or `HANDED_ON`) -> evaluations on `select` and `report`, of step 0 and of those that may be kept."""
    hard: dict[str, list[int]] = field(default_factory=dict)
    """Places of the problems of `select` and `report` that are hard for the base policy, where that is measured."""
    stop: str | None = None
    """Why the campaign is over: `budget`, or its controller's reason. None while it runs."""
    handed_on_step: int | None = None
    handed_on_average: tuple[int, ...] = ()
    """Steps whose weights' mean takes the place of that step's weights, where the controller decided so."""

    @property
    def rate(self) -> float:
        """Current learning-rate multiplier."""
        return self.learning_rate_scale * self.slowed

    @property
    def peak_step(self) -> int:
        """The step with the highest score on select, the earliest of equals."""
        return max(range(len(self.select_S)), key=self.select_S.__getitem__)

    def summary(self) -> CampaignSummary:
        """Summary of a finished campaign for controllers. All scores are on select."""
        assert self.handed_on_step is not None
        s, handed_on = self.select_S, self.handed_on_step
        return CampaignSummary(
            self.campaign,
            self.step,
            s[0],
            s[self.peak_step],
            self.peak_step,
            s[-1],
            handed_on,
            self.capability("0", "select"),
            self.capability(self.handed_on_key, "select"),
            self.slowed,
        )

    @property
    def handed_on_key(self) -> str:
        """The key in `evaluations` of the final weights."""
        return HANDED_ON if HANDED_ON in self.evaluations else str(self.handed_on_step)

    def capability(self, key: str, name: Literal["select", "report"]) -> dict[str, float]:
        """The capability vector of evaluations that are kept; empty where a campaign was begun before they were."""
        kept = self.evaluations.get(key)
        return {} if kept is None else capability(Evaluation.from_json(kept[name]), self.hard.get(name))


class Store(Protocol):
    """Destination of snapshots and finished steps."""

    def save(self, name: str, snapshot: Snapshot) -> None: ...

    def load(self, name: str) -> Snapshot: ...

    def commit(self, events: Sequence[Event], campaign: CampaignState) -> None:
        """Make the state and its events the truth, together or not at all. May raise, to interrupt the run."""
        ...


def run_campaign(
    config: RunConfig, sets: CampaignSets, engine: Engine, state: CampaignState, store: Store
) -> CampaignState:
    """Run a campaign from where `state` stands to its end; the engine then holds the weights of the last step."""
    options, control, campaign = config.campaign, config.control, state.campaign
    while state.stop is None:
        step, watch = state.step + 1, Stopwatch()
        rollouts: Rollouts | None = None
        signals: Mapping[str, float] = {}

        if step > 0:
            problems = draw(sets.train, config, campaign, step)
            with watch("rollout"):
                rollouts = engine.rollout(problems, campaign, step)
            with watch("update"):
                signals = finite(engine.update(rollouts))
        with watch("evaluate"):
            select = evaluate(engine, sets.select, config, (campaign, step, "select"))
            report = evaluate(engine, sets.report, config, (campaign, step, "report"), show=options.show)
            rival = getattr(control, "rival", lambda state: None)(state.control)  # an object of one's own may lack it
            fight = fought(state, rival, select, sets.select, config, engine, store)

        record = Record.of(step, select.evaluation, signals, fight)
        control_state, decision = control.decide(state.control, record)
        used_up = step >= state.budget and decision.action != "stop"
        if used_up:  # a fall that is seen now has nothing to go on from, but tells the next campaign something
            state = replace(state, slowed=state.slowed * decision.learning_rate_scale)
            decision = control.last(control_state, step)

        evaluations = {"select": select.evaluation.to_json(), "report": report.evaluation.to_json()}
        events = [step_event(campaign, step, select, report, signals, rollouts, decision, watch.seconds)]
        if fight is not None:
            events[0]["duel"] = asdict(fight)
        state = replace(
            state,
            step=step,
            control=dict(control_state),
            select_S=(*state.select_S, select.evaluation.pass_at_1),
            report_S=(*state.report_S, report.evaluation.pass_at_1),
            evaluations={**state.evaluations, str(step): evaluations},
        )
        state = keep_snapshots(state, control.keep(control_state), decision, engine, store)
        if decision.action == "stop":
            stop = "budget" if used_up else decision.reason
            state = replace(state, stop=stop, handed_on_step=decision.target_step, handed_on_average=decision.average)
        elif decision.action == "rollback" or decision.changes_training:
            state = carry_out(state, decision, options.restore, engine, store)
            if decision.action == "rollback":
                events.append(rollback_event(campaign, step, decision))
        store.commit(events, state)
    return state


def draw(train: Sequence[Problem], config: RunConfig, campaign: int, step: int) -> list[Problem]:
    """The problems of a step: the next batch of a shuffled epoch, so that none comes up twice before all have.

    Every epoch is a permutation of its own, cut into whole batches; a remainder smaller than a batch is left out of
    that epoch. A function of (seed, campaign, step) alone: nothing has to be remembered across a resume or a
    rollback.
    """
    size = config.campaign.problems_per_step
    epoch, batch = divmod(step - 1, len(train) // size)
    order = stream("order", config.seed, campaign, epoch).permutation(len(train))
    return [train[i] for i in order[batch * size : (batch + 1) * size]]


def evaluate(
    engine: Engine, problems: Sequence[Problem], config: RunConfig, key: tuple[str | int, ...], show: int = 0
) -> EvaluationResult:
    return engine.evaluate(problems, config.campaign.eval_samples, ("evaluate", config.seed, *key), show)


def fought(
    state: CampaignState,
    rival: int | None,
    select: EvaluationResult,
    problems: Sequence[Problem],
    config: RunConfig,
    engine: Engine,
    store: Store,
) -> Duel | None:
    """The duel of the weights of the next step, evaluated on select already, with those of a kept one."""
    if rival is None:
        return None
    key = (state.campaign, state.step + 1, "select")
    snapshot = store.load(snapshot_of(state, rival))
    return duel(engine, rival, snapshot, select, lambda: evaluate(engine, problems, config, key))


def keep_snapshots(
    state: CampaignState, keep: frozenset[int], decision: Decision, engine: Engine, store: Store
) -> CampaignState:
    """Save the step just finished; forget the snapshots that neither the controller nor a person may ask for again, and
    their evaluations (those of step 0 stay: the campaign's start)."""
    name = f"campaign-{state.campaign:03d}-step-{state.step:03d}"
    store.save(name, engine.snapshot())
    wanted = keep | {state.peak_step, state.step, *decision.average}
    if decision.target_step is not None:
        wanted |= {decision.target_step}
    known = {**state.snapshots, str(state.step): name}
    return replace(
        state,
        current=name,
        snapshots={step: known[step] for step in known if int(step) in wanted},
        evaluations={step: e for step, e in state.evaluations.items() if int(step) in wanted | {0}},
    )


def carry_out(state: CampaignState, decision: Decision, what: str, engine: Engine, store: Store) -> CampaignState:
    """Do what a decision with which training goes on says: go back, average, forget, change the learning rate.

    The step counter, and with it every random stream, goes on.
    """
    current = state.current
    if decision.action == "rollback":
        current = snapshot_of(state, decision.target_step)
        go_back(engine, store.load(current), what)
    if decision.average:
        engine.load_weights(mean_weights(state, decision.average, store))
    if decision.forget_optimizer:
        engine.forget_optimizer()
    state = replace(state, slowed=state.slowed * decision.learning_rate_scale)
    engine.scale_learning_rate(state.rate)
    halfway = decision.action == "rollback" and what == "weights"
    if not (halfway or decision.average or decision.forget_optimizer):
        return replace(state, current=current)  # that snapshot is all that there is: tens of GB for a large model
    name = f"campaign-{state.campaign:03d}-step-{state.step:03d}-{'rolled-back' if halfway else 'changed'}"
    store.save(name, engine.snapshot())
    return replace(state, current=name)


def snapshot_of(state: CampaignState, step: int | None) -> str:
    """The snapshot of a step that a decision names. Raises ConfigError where the controller has not kept it."""
    if str(step) not in state.snapshots:
        kept = ", ".join(state.snapshots)
        raise ConfigError(f"control: the decision names step {step}, which `keep` did not name; kept are: {kept}")
    return state.snapshots[str(step)]


def mean_weights(state: CampaignState, steps: Sequence[int], store: Store) -> Snapshot:
    """The mean of the weights of these steps, as a snapshot of weights."""
    total: dict[str, Any] = {}
    for step in steps:
        weights = {name: _wide(w) for name, w in store.load(snapshot_of(state, step))["policy"].items()}
        total = {name: weight + total[name] if name in total else weight for name, weight in weights.items()}
    return {"policy": {name: weight / len(steps) for name, weight in total.items()}}


def _wide(weight: Any) -> Any:
    """A sum of half-precision weights would be rounded at every step."""
    return weight.float() if weight.itemsize < 4 else weight


def go_back(engine: Engine, snapshot: Snapshot, what: str) -> None:
    """Bring back `weights_and_optimizer` or `weights` alone."""
    if what == "weights":
        engine.load_weights(snapshot)
    else:
        engine.restore(snapshot)


def step_event(
    campaign: int,
    step: int,
    select: EvaluationResult,
    report: EvaluationResult,
    signals: Mapping[str, float],
    rollouts: Rollouts | None,
    decision: Decision,
    seconds: Mapping[str, float],
) -> Event:
    grades = [] if rollouts is None else [grade.verdict.value for group in rollouts.grades_PG for grade in group]
    return {
        "type": "step",
        "campaign": campaign,
        "step": step,
        "select": select.evaluation.to_json(),
        "report": report.evaluation.to_json(),
        "signals": dict(signals),
        "verdicts": dict(sorted(Counter(grades).items())),
        "decision": decision.to_json(),
        "shown": [shown_event(shown) for shown in report.shown],
        "seconds": dict(seconds),
    }


def rollback_event(campaign: int, step: int, decision: Decision) -> Event:
    return {
        "type": "rollback",
        "campaign": campaign,
        "step": step,
        "target_step": decision.target_step,
        "reason": decision.reason,
        "learning_rate_scale": decision.learning_rate_scale,
    }


def shown_event(shown: Shown) -> Event:
    return {
        "task_id": shown.task_id,
        "prompt": shown.prompt,
        "program": shown.program,
        "verdict": shown.grade.verdict.value,
        "detail": shown.grade.detail,
    }


def finite(signals: Mapping[str, float]) -> dict[str, float]:
    """Without what could not be measured: a policy that has diverged yields NaN, and JSON has no word for it."""
    return {name: float(value) for name, value in signals.items() if math.isfinite(value)}


class Stopwatch:
    """Wall seconds by phase. They are reported and decide nothing."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = self._clock()
        yield
        self.seconds[phase] = round(self._clock() - start, 4)
