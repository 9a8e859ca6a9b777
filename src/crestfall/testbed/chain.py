"""A chain: campaigns in sequence, each starting from the final weights of the one before.

Everything that happens becomes an event and a state, committed together; a chain that was interrupted, or killed,
goes on from its last commit and ends with the same events and the same weights as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pydantic

import crestfall
from crestfall.core.errors import ConfigError, RunDirectoryError
from crestfall.core.types import CampaignSummary, Snapshot
from crestfall.store.events import Sink
from crestfall.store.layout import STATE_FILE
from crestfall.store.run_directory import RunDirectory
from crestfall.testbed.campaign import HANDED_ON, CampaignState, Event, Stopwatch, go_back, mean_weights, run_campaign
from crestfall.testbed.config import RunConfig, digest_of
from crestfall.testbed.engines.base import Engine
from crestfall.testbed.slices import Slices, origin


class Interrupted(KeyboardInterrupt):
    """The run was asked to stop and has done so after a finished, saved step."""


@dataclass(frozen=True)
class ChainState:
    """State of a chain. With the snapshots that it names, it is all that another process needs to continue."""

    care: dict[str, Any] = field(default_factory=dict)
    """The chain controller's state."""
    history: tuple[CampaignSummary, ...] = ()
    campaign: CampaignState | None = None
    """The campaign in progress."""
    base: str | None = None
    """Snapshot of the base policy, where hard cases are told by it."""
    handed_on: str | None = None
    """Snapshot that the next campaign starts from (the one in progress has); None: the base policy."""
    final: dict[str, Any] | None = None
    """Evaluation on the final set of the final weights of the campaign."""
    roles: dict[str, str] = field(default_factory=dict)
    """Snapshots by role: `last` and `best` (on select) of the latest campaign, `handed_on` (its final weights)."""
    done: bool = False

    @property
    def snapshots(self) -> list[str]:
        """The snapshots that must not be deleted."""
        names = [*self.roles.values(), self.handed_on, self.base]
        if self.campaign is not None:
            names += [self.campaign.current, *self.campaign.snapshots.values()]
        return sorted({name for name in names if name is not None})


_STATE: pydantic.TypeAdapter[ChainState] = pydantic.TypeAdapter(ChainState)


def run_chain(
    config: RunConfig,
    directory: RunDirectory,
    saved: Mapping[str, Any] | None,
    create_engine: Callable[[], Engine],
    sinks: Sequence[Sink] = (),
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run, or go on with, the chain of `config` in an open run directory whose last committed state is `saved`.

    Raises:
        Interrupted: `should_stop()` became true; everything up to here is saved.
    """
    state = None if saved is None else chain_state(saved, directory.path / STATE_FILE)
    if state is not None and state.done:
        return
    engine = create_engine()
    try:
        _Chain(config, directory, engine, sinks, should_stop).run(state)
    finally:
        engine.close()


def chain_state(saved: Mapping[str, Any], file: Path) -> ChainState:
    """A chain's state from the plain data of a file. Raises RunDirectoryError where it is none."""
    try:
        return _STATE.validate_json(json.dumps(saved))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        reason = f"damaged at {key}: {first['msg']}"
        raise RunDirectoryError(f"{file}: {reason}; restore it, or start again with --out elsewhere") from None


class _Chain:
    """The chain at work: the engine, the run directory, and the state of the last commit."""

    def __init__(
        self,
        config: RunConfig,
        directory: RunDirectory,
        engine: Engine,
        sinks: Sequence[Sink],
        should_stop: Callable[[], bool],
    ) -> None:
        self.config, self.directory, self.engine = config, directory, engine
        self.sinks, self.should_stop = sinks, should_stop
        self.state = ChainState()
        self.final_set = config.tasks.final(config.chain.final)
        self.slices = Slices(config, engine)

    def run(self, state: ChainState | None) -> None:
        if state is None:
            self.start()
        else:
            self.state = state
            if state.handed_on is not None:
                self.engine.restore(self.directory.load(state.handed_on))
        if self.state.final is None:
            self.evaluate_start()
        while len(self.state.history) < self.config.chain.campaigns:
            if self.state.campaign is None:
                self.start_campaign()
            campaign = self.resume_campaign()
            sets = self.config.sets(campaign.campaign)
            self.end_campaign(run_campaign(self.config, sets, self.engine, campaign, self))
        self.remember()
        campaigns = len(self.state.history)
        self.write([{"type": "run_ended", "campaigns": campaigns}], replace(self.state, done=True))

    # --- the parts of a chain ---

    def start(self) -> None:
        digest, seed, method = digest_of(self.config), self.config.seed, self.config.method
        event: Event = {"config_digest": digest, "version": crestfall.__version__, "seed": seed, "method": method}
        state = ChainState(care=dict(self.config.care.init()))
        if self.config.chain.hard_cases is not None:
            state = replace(state, base="base")
            self.directory.save("base", self.engine.snapshot())
        other = origin(self.config)
        if other is not None:
            self.engine.load_weights(other.load(like=self.engine.snapshot()))
            # A copy of our own: the other run may go on, or be deleted.
            state = replace(state, handed_on="start")
            self.directory.save("start", self.engine.snapshot())
            event["start_from"] = other.facts()
            self.directory.note_origin(event["start_from"])
        self.write([{"type": "run_started", **event}], state)

    def evaluate_start(self) -> None:
        event = self.final_event(-1, "start", 0, {})
        self.write([event, *self.slices.ood(-1, "start", 0)], replace(self.state, final=event["evaluation"]))

    def start_campaign(self) -> None:
        self.remember()
        number, history = len(self.state.history), self.state.history
        budget = self.config.control.budget(self.config.campaign.steps, history)
        care, plan = self.config.care.plan(self.state.care, budget, history)
        sets = self.config.sets(number)
        state = replace(self.state, care=dict(care))
        events: list[Event] = []
        if plan.verdict:
            events.append({"type": "care", "campaign": number, **plan.to_json()})
        if plan.roll_back and history:
            best = state.roles["best"]
            self.engine.restore(self.directory.load(best))
            final = self.final_event(number, "rolled_back", history[-1].peak_step, {})
            events.append(final)
            state = replace(state, handed_on=best, final=final["evaluation"])
        base = None if state.base is None else self.directory.load(state.base)
        hard = {} if base is None else self.slices.hard_cases(number, sets, base)
        ids = {name: [p.task_id for p in getattr(sets, name)] for name in ("train", "select", "report")}
        started: Event = {"type": "campaign_started", "campaign": number, "budget": plan.budget, **ids}
        events.append(started | ({"hard": hard} if hard else {}))
        control = dict(self.config.control.init())
        slowed = history[-1].learning_rate_scale if history else 1.0
        campaign = CampaignState(number, plan.budget, control, plan.learning_rate_scale, slowed, hard=hard)
        self.write(events, replace(state, campaign=campaign))

    def resume_campaign(self) -> CampaignState:
        """Bring the engine to where the campaign stands. It holds the weights that the campaign starts from."""
        campaign = self.state.campaign
        assert campaign is not None
        self.engine.begin_campaign(campaign.campaign, campaign.rate)
        if campaign.current is not None:
            self.engine.restore(self.directory.load(campaign.current))
        self.engine.scale_learning_rate(campaign.rate)
        if self.config.campaign.hand_on != "weights" and not averaged(self.engine.snapshot()):
            raise ConfigError(f"campaign.hand_on: engine {self.config.engine.name!r} keeps no average; use 'weights'")
        return campaign

    def end_campaign(self, campaign: CampaignState) -> None:
        """Score the last weights, then the final weights, from which the next campaign starts."""
        number, last, target = campaign.campaign, campaign.step, campaign.handed_on_step
        assert target is not None
        assert self.state.final is not None
        known = {0: self.state.final}
        events = [self.final_event(number, "end", last, known)]
        if target != last:
            go_back(self.engine, self.directory.load(campaign.snapshots[str(target)]), self.config.campaign.restore)
        mean = mean_weights(campaign, campaign.handed_on_average, self) if campaign.handed_on_average else None
        if mean is None and self.config.campaign.hand_on != "weights":
            mean = averaged(self.engine.snapshot())
        if mean is not None:
            self.engine.load_weights(mean)
            known.pop(target, None)  # the average of the steps up to here is not what this step scored
            campaign = replace(campaign, evaluations={**campaign.evaluations, HANDED_ON: self.slices.held_out(number)})
        events += [self.final_event(number, "handed_on", target, known)]
        events += [*self.slices.ood(number, "handed_on", target), *self.slices.revisits(number, target)]
        events += [capability_event(campaign), campaign_ended(campaign)]
        name = f"campaign-{number:03d}-handed-on"
        self.directory.save(name, self.engine.snapshot())

        history = (*self.state.history, campaign.summary())
        roles = self.state.roles | {"handed_on": name}
        final = known[target]
        state = replace(self.state, history=history, campaign=None, handed_on=name, final=final, roles=roles)
        self.write(events, state)

    # --- what they stand on ---

    def final_event(self, campaign: int, when: str, step: int, known: dict[int, dict[str, Any]]) -> Event:
        """The score of the weights held now, those of `step`, on the final set; not evaluated again where known."""
        watch = Stopwatch()
        if step not in known:
            key = ("evaluate", self.config.seed, campaign, when, "final")
            with watch("evaluate"):
                result = self.engine.evaluate(self.final_set, self.config.chain.final_samples, key)
            known[step] = result.evaluation.to_json()
        event = {"type": "final", "campaign": campaign, "when": when, "step": step}
        return {**event, "evaluation": known[step], "seconds": watch.seconds}

    def remember(self) -> None:
        """Write down what the chain controller has learnt so far. Follows from the state: a kill loses nothing."""
        memory = self.config.care.remember(self.state.care, self.state.history)
        if memory is not None:
            self.directory.write_memory(memory)

    def save(self, name: str, snapshot: Snapshot) -> None:
        self.directory.save(name, snapshot)

    def load(self, name: str) -> Snapshot:
        return self.directory.load(name)

    def commit(self, events: Sequence[Event], campaign: CampaignState) -> None:
        roles = {
            "last": campaign.snapshots[str(campaign.step)],
            "best": campaign.snapshots[str(campaign.peak_step)],
        }
        self.write(events, replace(self.state, campaign=campaign, roles=self.state.roles | roles))

    def write(self, events: Sequence[Event], state: ChainState) -> None:
        written = self.directory.commit(events, _STATE.dump_python(state, mode="json"), state.snapshots, state.roles)
        self.state = state
        for event in written:
            for sink in self.sinks:
                sink.event(event)
        if self.should_stop() and not state.done:
            raise Interrupted


def averaged(snapshot: Snapshot) -> Snapshot:
    """The weights that an engine has averaged over the campaign, as a snapshot of weights; empty without an average."""
    weights = snapshot.get("average", {}).get("weights")
    return {"policy": weights} if weights else {}


def capability_event(campaign: CampaignState) -> Event:
    """The capability vectors of the campaign's first, last and final weights."""
    steps = {"start": 0, "end": campaign.step, "handed_on": campaign.handed_on_step}
    keys = {"start": "0", "end": str(campaign.step), "handed_on": campaign.handed_on_key}
    select = {when: campaign.capability(key, "select") for when, key in keys.items()}
    report = {when: campaign.capability(key, "report") for when, key in keys.items()}
    return {"type": "capability", "campaign": campaign.campaign, "steps": steps, "select": select, "report": report}


def campaign_ended(campaign: CampaignState) -> Event:
    """The peak is chosen on select; `start`, `peak`, `end` and `gap` are scored on report, `summary` on select."""
    report, peak_step = campaign.report_S, campaign.peak_step
    return {
        "type": "campaign_ended",
        "campaign": campaign.campaign,
        "steps": campaign.step,
        "start": report[0],
        "peak_step": peak_step,
        "peak": report[peak_step],
        "end": report[-1],
        "gap": report[peak_step] - report[-1],
        "handed_on_step": campaign.handed_on_step,
        "stopped_by": campaign.stop,
        "summary": pydantic.TypeAdapter(CampaignSummary).dump_python(campaign.summary(), mode="json"),
    }
