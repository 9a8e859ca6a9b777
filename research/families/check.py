"""One family against slow and obvious versions of itself: a plain forward pass for every sample, nothing shared."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crestfall.core.types import Grade, Problem, Verdict
from crestfall.store.checkpoints import flat
from crestfall.testbed.config import CampaignConfig, RunConfig
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.base import Samples, distinct
from crestfall.testbed.policies.hf import HfPolicy
from crestfall.testbed.policies.hf.policy import LoadedHf
from crestfall.testbed.policies.hf.probe import fixed_steps
from crestfall.testbed.updates.reinforce import Reinforce
from research.families.zoo import save
from research.gpu_check.measure import rewarded
from research.gpu_check.place import relative_error
from research.gpu_check.tasks import Comments, problems

GROUP, TOKENS, TEMPERATURE = 4, 12, 0.7


@dataclass(frozen=True)
class Result:
    family: str
    shares: bool = False
    samples: float = 0.0
    """Share of completions that are those of a plain forward pass for every token."""
    gradient: float = float("nan")
    """Relative error against autograd on every sample by itself."""
    rollback: bool = False
    replayed: float | None = None
    """Share of completions that stay the same with steps of a fixed shape; None: the family does not have them."""
    error: str = ""

    @property
    def right(self) -> bool:
        return (
            not self.error
            and self.samples == 1.0
            and self.gradient < 1e-3
            and self.rollback
            and self.replayed in (None, 1.0)
        )


def check(name: str) -> Result:
    """Build the family's model, and try it. What goes wrong is part of the result."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        family = name.partition(":")[0]
        try:
            save(name, directory)
            policy = HfPolicy(model=str(directory), device="cpu", max_tokens=TOKENS, tokens_per_microbatch=300)
            loaded = policy.load()
            chosen = problems("train", 4)
            uniforms = np.random.default_rng(0).random((len(chosen), GROUP, TOKENS), dtype=np.float32)
            samples = loaded.sample(chosen, uniforms, TEMPERATURE)
            equal = [
                _plain_sample(loaded, chosen[n // GROUP], uniforms[n // GROUP, n % GROUP])
                == samples.tokens_N[n].tolist()
                for n in range(len(samples.tokens_N))
            ]
            gradient = _gradient_error(loaded, samples)
            return Result(
                family,
                shares=loaded.lm.anatomy.shares,
                samples=float(np.mean(equal)),
                gradient=gradient,
                rollback=_rolls_back(policy, loaded),
                replayed=_replayed(policy.load(), samples, uniforms),
            )
        except Exception as error:  # the libraries' errors have no common root
            return Result(family, error=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")


def _replayed(loaded: LoadedHf, samples: Samples, uniforms_PGT: Any) -> float | None:
    """Draws the samples again as a CUDA device would, step by step on the CPU."""
    prompts = [loaded.text.encode(problem) for problem in samples.problems]
    loaded.lm.anatomy = fixed_steps(loaded.lm, prompts)
    if not (loaded.lm.anatomy.shares and loaded.lm.anatomy.replays):
        return None
    again = loaded.sample(samples.problems, uniforms_PGT, TEMPERATURE)
    return float(np.mean([np.array_equal(*pair) for pair in zip(samples.tokens_N, again.tokens_N, strict=True)]))


def _logits(loaded: LoadedHf, problem: Problem, tokens: Sequence[int]) -> torch.Tensor:
    """[len(tokens) + 1, V] after the prompt and after each of the tokens, of one pass over both."""
    prompt = loaded.text.encode(problem).tolist()
    out: torch.Tensor = loaded.lm.model(input_ids=torch.tensor([[*prompt, *tokens]]), use_cache=False).logits
    return out[0, len(prompt) - 1 :].float()


@torch.no_grad()
def _plain_sample(loaded: LoadedHf, problem: Problem, uniforms_T: Any) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < TOKENS and not loaded.text.eos & set(tokens):
        cdf = (_logits(loaded, problem, tokens)[-1] / TEMPERATURE).softmax(-1).double().cumsum(-1)
        tokens.append(int((cdf <= uniforms_T[len(tokens)] * cdf[-1]).sum()))
    return tokens


def _gradient_error(loaded: LoadedHf, samples: Samples) -> float:
    weights = np.random.default_rng(1).normal(size=len(samples.tokens_N)).astype(np.float32)
    rows, parameters = distinct(samples), loaded.named_parameters()
    per_row = torch.zeros(len(rows.first_R)).index_add_(0, torch.from_numpy(rows.row_of_N), torch.from_numpy(weights))
    loaded.accumulate(rows, TEMPERATURE, lambda s: (s.logprobs_RT.sum(1) * per_row[s.rows_R]).sum())
    ours = _taken(parameters)
    for n, tokens in enumerate(samples.tokens_N):
        log_p = (_logits(loaded, samples.problem_N[n], tokens[:-1].tolist()) / TEMPERATURE).log_softmax(-1)
        (float(weights[n]) * log_p[torch.arange(len(tokens)), torch.from_numpy(tokens)].sum()).backward()  # type: ignore[no-untyped-call]
    plain = _taken(parameters)
    return relative_error(ours, plain) if ours.keys() == plain.keys() and plain else float("inf")


def _taken(parameters: Any) -> dict[str, torch.Tensor]:
    """The gradients, which are then forgotten."""
    out = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    for parameter in parameters.values():
        parameter.grad = None
    return out


class _Failing:
    """A grader that need not run: rewards are given by `rewarded`."""

    def grade_batch(self, pairs: Sequence[Any]) -> list[Grade]:
        return [Grade(Verdict.WRONG_ANSWER) for _ in pairs]


def _rolls_back(policy: HfPolicy, loaded: LoadedHf) -> bool:
    """Whether a rollback restores weights and moments bit for bit after a step, so that the next step repeats too."""
    campaign = CampaignConfig(group_size=GROUP, problems_per_step=4, train=4)
    rule = Reinforce(learning_rate=1e-3)
    config = replace(RunConfig(), policy=policy, update=rule, campaign=campaign, tasks=Comments())
    engine = NativeEngine(loaded, rule, config.tasks, _Failing(), config)  # type: ignore[arg-type]
    engine.begin_campaign(0)
    rollouts = rewarded(engine.rollout(problems("train", 4), 0, 1))
    engine.update(rollouts)
    kept = engine.snapshot()
    before = dict(flat(kept))
    first = engine.update(rollouts)
    moved = any(not torch.equal(value, before[key]) for key, value in flat(engine.snapshot()))
    engine.restore(kept)
    back = dict(flat(engine.snapshot()))
    same = back.keys() == before.keys() and all(torch.equal(value, before[key]) for key, value in back.items())
    return moved and same and engine.update(rollouts) == first
