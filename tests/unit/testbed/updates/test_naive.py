"""The gradient of every rule, sample by sample from the formulas, against what the engine does with the tiny policy.

Two updates of one batch: in the second the policy is another one than the samples', ratios leave their bounds, and the
KL penalty has something to hold on to.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crestfall.core.build import component
from crestfall.core.registry import components
from crestfall.core.types import Grade, Verdict
from crestfall.testbed.config import CampaignConfig, RunConfig
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.base import separate
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin
from crestfall.testbed.updates.kl import FixedKL

GROUP, LIMIT, BETA = 6, 64, 0.5


class Parity:
    def grade_batch(self, pairs):
        return [Grade(Verdict.PASSED if len(program) % 3 else Verdict.WRONG_ANSWER) for _, program in pairs]

    def close(self): ...


def advantage(name: str, r: float, group: list[float], batch: list[float]) -> float:
    mean, others = np.mean(group), (sum(group) - r) / (len(group) - 1)
    std = np.sqrt(np.mean([(x - mean) ** 2 for x in group]))
    return {
        "reinforce": r - np.mean(batch),
        "rloo": r - others,
        "grpo": (r - mean) / (std + 1e-6),
        "dapo": (r - mean) / (std + 1e-6),
        "dr_grpo": r - mean,
    }[name]


def token_gain(name: str, logprob, old: float, a: float):
    if name in ("reinforce", "rloo"):
        return a * logprob
    ratio = (logprob - old).exp()
    return torch.minimum(ratio * a, ratio.clamp(0.8, 1.28 if name == "dapo" else 1.2) * a)


def token_penalty(estimator: str, logprobs, references, t: int):
    if estimator == "k1":
        return sum(float(a.detach()) - b for a, b in zip(logprobs[t:], references[t:], strict=True)) * logprobs[t]
    d = logprobs[t] - references[t]
    return d**2 / 2 if estimator == "k2" else (-d).exp() - 1 + d


@pytest.fixture(scope="module")
def problems():
    return Builtin(levels=(2,)).campaign(0, 0, Sizes(4, 2, 2)).train


ESTIMATOR = {"reinforce": "k1", "rloo": "k2"}


@pytest.mark.parametrize("name", ["reinforce", "rloo", "grpo", "dr_grpo", "dapo"])
def test_the_engine_follows_the_formula(name, problems):
    estimator = ESTIMATOR.get(name, "k3")
    kl = FixedKL(coefficient=BETA, estimator=estimator)
    rule = replace(component("update", {"name": name}), epochs=2, learning_rate=5e-3, kl=kl)
    torch.set_num_threads(1)
    config = replace(RunConfig(), campaign=CampaignConfig(group_size=GROUP), update=rule)
    engine = NativeEngine(config.policy.load(), rule, config.tasks, Parity(), config)
    rollouts = engine.rollout(problems, 0, 1)

    grads, weights, take_step = [], [], engine.optimizer.step

    def step():
        weights.append(engine.weights())
        grads.append({n: -p.grad.clone() for n, p in engine.parameters.items()})
        return take_step()

    engine.optimizer.step = step
    signals = engine.update(rollouts)
    assert (signals.get("clip_fraction", 0) > 0) == (name not in ("reinforce", "rloo"))

    samples = rollouts.handle
    every = separate(samples)
    rewards = [[float(g.passed) for g in group] for group in rollouts.grades_PG]
    assert any(0 < sum(group) < GROUP for group in rewards)
    flat = [r for group in rewards for r in group]
    signal = [name != "dapo" or 0 < sum(group) < GROUP for group in rewards]
    used = [n for n in range(len(flat)) if signal[n // GROUP]]
    tokens = sum(len(samples.tokens_N[n]) for n in used)

    with engine._as(weights[0]):
        padded = engine._logprobs(every)  # at the first update the policy is the base as well

    old = [row[: len(tokens)].tolist() for row, tokens in zip(padded, samples.tokens_N, strict=True)]

    def loss(scores):
        total = torch.zeros(())
        for i, row in enumerate(scores.rows_R):
            if row not in used:
                continue
            length = len(samples.tokens_N[row])
            logprobs = scores.logprobs_RT[i, :length]
            a = advantage(name, flat[row], rewards[row // GROUP], flat)
            gain = sum(token_gain(name, logprobs[t], old[row][t], a) for t in range(length))
            kl = sum(token_penalty(estimator, logprobs, old[row], t) for t in range(length))
            count = {
                "reinforce": len(flat),
                "rloo": len(flat),
                "grpo": len(flat) * length,
                "dr_grpo": len(flat) * LIMIT,
                "dapo": tokens,
            }[name]
            total = total + (gain - BETA * kl) / count
        return total

    for got, at in zip(grads, weights, strict=True):
        engine.optimizer.zero()
        with engine._as(at):
            engine.policy.accumulate(every, 0.7, loss)
        want = {n: p.grad for n, p in engine.parameters.items()}
        off, size = (sum(float((g**2).sum()) for g in gs) for gs in ([got[n] - want[n] for n in got], want.values()))
        assert size > 0
        assert off**0.5 < 1e-3 * size**0.5


def test_no_rule_is_left_out():
    shipped = {n for n, cls in components("update").items() if cls.__module__.startswith("crestfall.")}
    assert shipped == {"reinforce", "rloo", "grpo", "dr_grpo", "dapo"}
