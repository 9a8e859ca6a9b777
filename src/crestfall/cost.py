"""What a run will cost at most: steps, samples, grades. Known before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from crestfall.config import RunConfig

# One step event: two evaluations, the signals and the shown programs.
_EVENT_BYTES = 6_000


@dataclass(frozen=True)
class Cost:
    """Upper bounds: a controller may stop earlier, and equal programs are graded once."""

    cells: int = 0
    steps: int = 0
    train_samples: int = 0
    eval_samples: int = 0
    grades: int = 0
    event_mb: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))


def cost_of(config: RunConfig) -> Cost:
    campaign, chain = config.campaign, config.chain
    steps = chain.campaigns * config.control.budget(campaign.steps, ())
    train = steps * campaign.problems_per_step * campaign.group_size
    evaluated = steps + chain.campaigns * (1 if campaign.hand_on == "weights" else 2)  # step 0, and an average
    held_out = evaluated * (campaign.select + campaign.report)
    final = (1 + 2 * chain.campaigns) * chain.final
    ood = (1 + chain.campaigns) * (chain.ood or 0)
    revisited = campaign.report * sum(min(number, chain.revisit or 0) for number in range(chain.campaigns))
    base = chain.campaigns * (campaign.select + campaign.report) if chain.hard_cases else 0
    samples = (held_out + ood + revisited) * campaign.eval_samples + final * chain.final_samples
    samples += base * (chain.hard_cases or 0)
    greedy = (held_out + final + ood + revisited + base) if campaign.greedy else 0
    return Cost(1, steps, train, samples + greedy, train + samples + greedy, steps * _EVENT_BYTES / 1e6)


def total(configs: Iterable[RunConfig]) -> Cost:
    return sum((cost_of(config) for config in configs), Cost())
