"""A model under the native engine: memory against the dry run's bound, seconds of each part of a step, rollback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crestfall.core.types import Grade, Rollouts, Verdict
from crestfall.grading import CodeGrader
from crestfall.store.checkpoints import flat
from crestfall.testbed.config import CampaignConfig, ChainConfig, RunConfig
from crestfall.testbed.cost import footprint
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.base import distinct
from crestfall.testbed.policies.hf import HfPolicy
from crestfall.testbed.policies.hf.text import Text
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.updates.reinforce import Reinforce
from research.gpu_check.place import Place
from research.gpu_check.report import Section

GB = 1e9


@dataclass(frozen=True)
class Work:
    """Of one step: every completion is as long as allowed, since a random model does not end."""

    problems: int = 8
    group: int = 16
    tokens: int = 128

    @property
    def completions(self) -> int:
        return self.problems * self.group


def config_of(directory: Path, work: Work, device: str, **options: Any) -> RunConfig:
    """Microbatches that hold one step exactly: what is measured can then be compared with the bound."""
    prompt = _longest_prompt(directory, work)
    options |= {
        "tokens_per_microbatch": work.problems * prompt + work.completions * work.tokens,
        "sampled_tokens": work.completions * (prompt + work.tokens),
    }
    policy = HfPolicy(model=str(directory), device=device, max_tokens=work.tokens, prompt="chat", **options)  # type: ignore[arg-type]
    campaign = CampaignConfig(
        train=work.problems, problems_per_step=work.problems, group_size=work.group, temperature=1.0
    )
    rule = Reinforce(learning_rate=1e-5)
    return replace(RunConfig(), policy=policy, update=rule, campaign=campaign, chain=ChainConfig(campaigns=1))


def _longest_prompt(directory: Path, work: Work) -> int:
    from transformers import AutoTokenizer

    text = Text(AutoTokenizer.from_pretrained(directory), chat=True, eos=frozenset(), pad=0)
    problems = RunConfig().tasks.campaign(0, 0, Sizes(work.problems, 30, 30)).train
    return max(len(text.encode(problem)) for problem in problems)


@contextmanager
def engine(config: RunConfig) -> Iterator[NativeEngine]:
    with CodeGrader(config.grader) as grader:
        made = NativeEngine(config.policy.load(), config.update, config.tasks, grader, config)
        made.begin_campaign(0)
        yield made


def measure(place: Place, section: Section, name: str, config: RunConfig) -> None:
    """Rows on memory, and on the seconds of a step after one that warms up."""
    place.clean()
    place.forget_peak()
    bound = footprint(config).memory
    with engine(config) as made:
        problems = config.sets(0).train
        peaks: dict[str, int | None] = {"load": place.peak}
        for step in (1, 2):  # the first step warms up: kernels are chosen, moments are made
            place.forget_peak()
            rollouts, sampling = place.timed(lambda step=step: made.rollout(problems, 0, step))  # type: ignore[misc]
            peaks["rollout"] = place.peak
            place.forget_peak()
            _, updating = place.timed(lambda r=rollouts: made.update(rewarded(r)))  # type: ignore[misc]
            peaks["update"] = place.peak
        place.forget_peak()
        snapshot, saving = place.timed(made.snapshot)
        peaks["snapshot"] = place.peak
        del snapshot
        _split(place, section, name, made, rollouts, {"rollout": sampling, "update": updating, "snapshot": saving})
        _rollback(section, name, made, rollouts)
    _memory(section, name, peaks, bound)
    place.clean()


def rewarded(rollouts: Rollouts) -> Rollouts:
    """Every other completion passes: a random model's programs do not, and a step without a reward moves nothing."""
    passed, failed = Grade(Verdict.PASSED), Grade(Verdict.WRONG_ANSWER)
    grades = [[passed if g % 2 else failed for g in range(len(group))] for group in rollouts.grades_PG]
    return replace(rollouts, grades_PG=grades)


def _split(
    place: Place, section: Section, name: str, made: NativeEngine, rollouts: Rollouts, seconds: dict[str, float]
) -> None:
    samples = rollouts.handle
    rows = distinct(samples)
    tokens = sum(len(tokens) for tokens in samples.tokens_N)
    pairs = list(zip(samples.problem_N, samples.programs_N, strict=True))
    _, grading = place.timed(lambda: made.grader.grade_batch(pairs))
    _, scoring = place.timed(lambda: made.policy.score(rows, 1.0))
    _, gradient = place.timed(lambda: made.policy.accumulate(rows, 1.0, lambda s: s.logprobs_RT.sum()))
    norm, adam = place.timed(made.optimizer.grad_norm)
    assert np.isfinite(norm)
    made.optimizer.zero()
    sampling = seconds["rollout"] - grading
    policy: Any = made.policy
    size = sum(parameter.numel() for parameter in policy.lm.model.parameters())
    prompts = sum(len(policy.text.encode(problem)) for problem in samples.problems)
    section.add(f"{name}: parameters, trained", f"{size / 1e6:.0f} M, {_trained(made) / 1e6:.1f} M")
    section.add(
        f"{name}: completions, tokens each, prompt tokens",
        f"{len(samples.tokens_N)}, {tokens / len(samples.tokens_N):.0f}, {prompts}",
    )
    section.add(f"{name}: decoding steps are replayed", policy.lm.anatomy.replays)
    section.add(f"{name}: rollout, tokens a second (grading apart)", tokens / sampling)
    section.add(f"{name}: scoring, tokens a second", tokens / scoring)
    section.add(f"{name}: gradient, tokens a second", tokens / gradient)
    if place.ceilings:
        read = size * 2 * samples.tokens_N[0].shape[0] / place.ceilings["bytes"]
        section.add(
            f"{name}: rollout, share of the bandwidth floor", read / sampling, "weights read once a token place"
        )
        for what, passes, took in (("scoring", 2, scoring), ("gradient", 6, gradient)):
            flop = passes * size * (tokens + prompts)
            section.add(f"{name}: {what}, share of the matrix floor", flop / place.ceilings["flop"] / took)
    split = {"sampling": sampling, "grading": grading, "update": seconds["update"], "snapshot": seconds["snapshot"]}
    section.add(f"{name}: seconds of a step", _said(split))
    section.add(f"{name}: seconds within the update", _said({"scoring": scoring, "gradient": gradient, "norm": adam}))


def _trained(made: NativeEngine) -> int:
    return sum(parameter.numel() for parameter in made.parameters.values())


def _said(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())


def _rollback(section: Section, name: str, made: NativeEngine, rollouts: Rollouts) -> None:
    """A snapshot on the CPU, an update, back: the same bits, and the same step from there."""
    snapshot = copy.deepcopy(made.snapshot())
    before = {key: value.cpu() for key, value in flat(snapshot)}
    first = made.update(rewarded(rollouts))
    moved = any(not torch.equal(value.cpu(), before[key]) for key, value in flat(made.snapshot()))
    made.restore(snapshot)
    back = {key: value.cpu() for key, value in flat(made.snapshot())}
    equal = back.keys() == before.keys() and all(torch.equal(value, before[key]) for key, value in back.items())
    second = made.update(rewarded(rollouts))
    section.add(f"{name}: rollback bit for bit", equal and moved, "yes", equal and moved)
    section.add(f"{name}: the step after a rollback, again", "equal" if first == second else "equal to rounding only")


def _memory(section: Section, name: str, peaks: dict[str, int | None], bound: Any) -> None:
    section.add(f"{name}: bound of --dry-run", "unknown" if bound is None else f"{bound.peak / GB:.2f} GB")
    if bound is not None:
        parts = {key: value / GB for key, value in bound.to_json().items()}
        section.add(f"{name}: its parts, GB", _said(parts))
    known = {key: value / GB for key, value in peaks.items() if value is not None}
    if known and bound is not None:
        section.add(f"{name}: peaks measured, GB", _said(known))
        ratio = max(known.values()) * GB / bound.peak
        section.add(f"{name}: measured peak over the bound", ratio, "0.85 to 1.15", 0.85 <= ratio <= 1.15)
