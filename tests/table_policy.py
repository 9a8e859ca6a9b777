"""A policy so small that everything about it can be enumerated, in the real engine.

Its next token depends on the one before it: `logits[previous]`, with a row of its own for the start. Completions have a
set length; with length 1 it is a bandit. A completion passes when its last token is 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from crestfall.core.types import CallTests, Grade, Problem, Rollouts, Verdict
from crestfall.testbed.config import CampaignConfig, RunConfig
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.base import Samples, TokenScores
from crestfall.testbed.updates.base import UpdateRule


class TablePolicy:
    def __init__(self, logits: Sequence[Sequence[float]], length: int) -> None:
        self.logits = torch.nn.Parameter(torch.tensor(logits, dtype=torch.float64))
        self.length = length

    def named_parameters(self):
        return {"logits": self.logits}

    def sample(self, problems, uniforms_PGT, temperature, greedy=False):
        probabilities = (self.logits.detach() / temperature).softmax(dim=-1).numpy()
        tokens = []
        for uniforms_T in uniforms_PGT.reshape(-1, uniforms_PGT.shape[2]):
            row, previous = [], len(probabilities) - 1
            for u in uniforms_T[: self.length]:
                previous = min(int((probabilities[previous].cumsum() < u).sum()), probabilities.shape[1] - 1)
                row.append(previous)
            tokens.append(row)
        return samples_of(problems, tokens)

    def accumulate(self, rows, temperature, loss):
        loss(self._scores(rows, temperature)).backward()

    @torch.no_grad()
    def score(self, rows, temperature):
        return [self._scores(rows, temperature)]

    def _scores(self, rows, temperature):
        tokens = torch.tensor(np.stack([rows.samples.tokens_N[n] for n in rows.first_R]))
        start = torch.full((len(tokens), 1), len(self.logits) - 1)
        log_p = (self.logits / temperature).log_softmax(dim=-1)[torch.cat((start, tokens[:, :-1]), dim=1)]
        chosen = log_p.gather(-1, tokens[..., None]).squeeze(-1)
        entropy = -(log_p.exp() * log_p).sum(dim=-1).detach()
        return TokenScores(np.arange(len(tokens)), chosen, entropy, torch.ones_like(chosen))


class LastIsOne:
    def grade_batch(self, pairs):
        return [grade(program) for _, program in pairs]

    def close(self): ...


def grade(program: str) -> Grade:
    return Grade(Verdict.PASSED if program.endswith("1") else Verdict.WRONG_ANSWER)


def problems(count: int) -> list[Problem]:
    return [Problem(f"p{i}", "", CallTests("f", ()), key=f"p{i}") for i in range(count)]


def samples_of(problems: Sequence[Problem], tokens: Sequence[Sequence[int]]) -> Samples:
    arrays = [np.array(row, dtype=np.int64) for row in tokens]
    nothing = [np.zeros(len(row), dtype=np.float32) for row in tokens]
    texts = ["".join(map(str, row)) for row in tokens]
    return Samples(problems, len(tokens) // len(problems), arrays, nothing, np.zeros(len(tokens), dtype=bool), texts)


def make(rule: UpdateRule, logits: Sequence[Sequence[float]], length: int = 1, **campaign: object) -> NativeEngine:
    """An engine at temperature 1 whose token limit is `length`."""
    options = CampaignConfig(temperature=1.0, **campaign)
    config = replace(RunConfig(), campaign=options, update=rule, policy=SimpleNamespace(max_tokens=length))
    return NativeEngine(TablePolicy(logits, length), rule, config.tasks, LastIsOne(), config)


def rollouts(tokens_PG: Sequence[Sequence[Sequence[int]]], step: int = 1) -> Rollouts:
    """What the engine would have drawn, had it drawn these."""
    drawn = samples_of(problems(len(tokens_PG)), [row for group in tokens_PG for row in group])
    texts_PG = [["".join(map(str, row)) for row in group] for group in tokens_PG]
    return Rollouts(drawn.problems, texts_PG, [[grade(t) for t in g] for g in texts_PG], drawn, 0, step)


def ascent(engine: NativeEngine, drawn: Rollouts) -> torch.Tensor:
    """The gradient of the objective that one `update` hands to the optimizer, which takes no step."""
    seen = []

    def step():
        seen.append(-engine.policy.logits.grad.clone())
        return 0.0, 0.0

    engine.optimizer.step = step
    engine.update(drawn)
    return seen[0]


def groups(arms: int, size: int) -> Iterator[list[list[int]]]:
    """All groups of `size` pulls of a bandit."""
    for pulls in itertools.product(range(arms), repeat=size):
        yield [[arm] for arm in pulls]
