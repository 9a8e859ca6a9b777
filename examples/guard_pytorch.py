"""A guard in a plain PyTorch loop: REINFORCE on a toy policy whose reward goes wrong half way.

    python examples/guard_pytorch.py

The policy picks one of ten answers to each of 30 questions; passing is picking the right one. From step 30 on every
other answer is paid for, so the run rises and then falls. The guard stops it and goes back to the peak, weights and
Adam.
"""

from __future__ import annotations

import tempfile

from crestfall.core.entry import needs

needs("torch")

import torch

import crestfall
from crestfall.report.live.alerts import Console

QUESTIONS, ANSWERS, SAMPLES = 30, 10, 16
right = torch.arange(QUESTIONS) % ANSWERS


def sample(policy: torch.nn.Embedding) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers [Q, S] and their log-probabilities [Q, S]."""
    distribution = torch.distributions.Categorical(logits=policy.weight)
    answers = distribution.sample((SAMPLES,))
    return answers.T, distribution.log_prob(answers).T


def main() -> None:
    torch.manual_seed(0)
    policy = torch.nn.Embedding(QUESTIONS, ANSWERS)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=0.1)
    guard = crestfall.Guard(
        tempfile.mkdtemp(),  # a directory of its own for every run; the same one again goes on from there
        control={"name": "significant_fall", "alpha": 0.05},
        state={"policy": policy, "optimizer": optimizer},
        notify=[Console()],
    )
    for step in range(60):
        if step:
            answers, logprobs = sample(policy)
            rewards = (answers == right[:, None]).float()
            if step >= 30:
                rewards = 1 - rewards
            loss = -((rewards - rewards.mean()) * logprobs).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        with torch.no_grad():  # the evaluation: how many of 16 fresh samples of each question pass
            passed = (sample(policy)[0] == right[:, None]).sum(1).tolist()
        decision = guard.observe(step, select=passed, n=SAMPLES)
        if guard.carry_out(decision):
            break

    with torch.no_grad():
        score = (sample(policy)[0] == right[:, None]).float().mean()
    adam = int(optimizer.state_dict()["state"][0]["step"])
    print(f"stopped after step {step}; the policy is that of step {decision.target_step} again: pass@1 {score:.2f}")
    print(f"Adam's step counter: {adam}")


if __name__ == "__main__":
    main()
