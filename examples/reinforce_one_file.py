"""One campaign of REINFORCE with a code-execution reward, from top to bottom: start reading crestfall here.

    python examples/reinforce_one_file.py                 # half a minute; seed 0 rises from 21% to 47%, ends at 22%
    python examples/reinforce_one_file.py --rate 1e-4     # smaller steps

The policy (0.35 M parameters, writes real Python) and the grader (a sandbox) are crestfall's; the loop is spelled out:
draw problems, sample programs, run them, update, evaluate on problems that nobody trains on, keep the peak, and end by
rolling weights *and* Adam's moments back to it. What is left out: the rest of the testbed (several campaigns, resume,
GRPO, KL, controllers that decide more cleverly than "the best so far", nulls, reports). `crestfall run chain` has it.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence

import numpy as np

from crestfall.core.entry import Parser, guarded, needs

needs("torch")

import torch

from crestfall import CodeGrader, Problem
from crestfall.cli.numbers import amount, count
from crestfall.core.rng import stream
from crestfall.testbed.policies.base import LoadedPolicy, Samples, TokenScores, distinct
from crestfall.testbed.policies.tiny import TinyPolicy
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin

PROBLEMS, GROUP, EVALUATED, TEMPERATURE, TOKENS = 10, 16, 8, 0.7, 48


def sample(policy: LoadedPolicy, problems: Sequence[Problem], group: int, *key: str | int) -> Samples:
    """`group` programs for each problem. Random numbers are a function of the key: no global generator."""
    uniforms_PGT = np.stack(
        [stream("sample", *key, p.task_id).random((group, TOKENS), dtype=np.float32) for p in problems]
    )
    return policy.sample(problems, uniforms_PGT, TEMPERATURE)


def run_programs(grader: CodeGrader, samples: Samples) -> np.ndarray:
    """[P, G]: 1.0 where the program passed all tests of its problem."""
    grades = grader.grade_batch(zip(samples.problem_N, samples.programs_N, strict=True))
    return np.array([grade.passed for grade in grades], dtype=np.float64).reshape(-1, samples.group_size)


def pass_at_1(policy: LoadedPolicy, grader: CodeGrader, problems: Sequence[Problem], seed: int, step: int) -> float:
    return float(run_programs(grader, sample(policy, problems, EVALUATED, "evaluate", seed, step)).mean())


def update(policy: LoadedPolicy, adam: torch.optim.Optimizer, samples: Samples, rewards_PG: np.ndarray) -> None:
    """One REINFORCE step: maximise the mean over samples of (reward - baseline) x log pi(completion)."""
    advantages_N = (rewards_PG - rewards_PG.mean()).reshape(-1)
    rows = distinct(samples)  # equal completions are differentiated once, weighted by how often they were drawn
    weight_R = torch.tensor(advantages_N[rows.first_R] * rows.count_R / len(advantages_N), dtype=torch.float32)

    def loss(scores: TokenScores) -> torch.Tensor:
        logprob_R = (scores.logprobs_RT * scores.mask_RT).sum(dim=1)
        return -(weight_R[scores.rows_R] * logprob_R).sum()

    adam.zero_grad()
    policy.accumulate(rows, TEMPERATURE, loss)
    torch.nn.utils.clip_grad_norm_(list(policy.named_parameters().values()), 1.0)
    adam.step()


def campaign(rate: float, seed: int, steps: int) -> list[tuple[float, float]]:
    """(pass@1 on select, pass@1 on report) of every step, step 0 included, and last of the peak that was put back."""
    policy = TinyPolicy(max_tokens=TOKENS).load()
    parameters = list(policy.named_parameters().values())
    adam = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    # Disjoint by meaning: train is trained on, select picks the peak, report scores it and picks nothing.
    sets = Builtin().campaign(seed, 0, Sizes(train=50, select=24, report=24))
    curve: list[tuple[float, float]] = []
    peak, kept = -1.0, (0, [], {})
    with CodeGrader() as grader:
        for step in range(steps + 1):
            if step > 0:
                drawn = stream("problems", seed, step).choice(len(sets.train), PROBLEMS, replace=False)
                samples = sample(policy, [sets.train[i] for i in drawn], GROUP, "rollout", seed, step)
                update(policy, adam, samples, run_programs(grader, samples))
            select = pass_at_1(policy, grader, sets.select, seed, step)
            curve.append((select, pass_at_1(policy, grader, sets.report, seed, step)))
            if select > peak:
                peak = select
                kept = (step, [p.detach().clone() for p in parameters], copy.deepcopy(adam.state_dict()))
            print(f"step {step:2d}  select {select:5.1%}  report {curve[-1][1]:5.1%}  {'peak' * (kept[0] == step)}")
        step, weights, moments = kept
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(weight)
        adam.load_state_dict(moments)
        back = pass_at_1(policy, grader, sets.report, seed, step)
    print(f"rolled back to step {step}: report {back:.1%}; the last step had {curve[-1][1]:.1%}")
    return [*curve, (peak, back)]


def main() -> int:
    parser = Parser(description="One campaign of REINFORCE on programs that are run.")
    parser.add_argument("--rate", type=amount(0, 1), default=1e-3, help="AdamW's learning rate")
    parser.add_argument("--seed", type=count(0), default=0)
    parser.add_argument("--steps", type=count(0), default=12)
    campaign(**vars(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
