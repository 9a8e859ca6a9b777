"""Upper bounds on the cost of a run: steps, samples, tokens, grades, memory, disk. No weights are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from crestfall.core.types import CampaignSummary
from crestfall.testbed.config import RunConfig
from crestfall.testbed.policies.size import ModelSize
from crestfall.testbed.updates.ewc import WeightPenalty

# Weights and optimizer of the last step, the best one, the one that a controller may go back to, the final ones of this
# and the previous campaign, the base policy if hard cases are chosen by it; and one more while it is being written.
_CHECKPOINTS = 7
_FLOAT32 = 4
_CHARACTERS_PER_TOKEN = 4
# A logit, its log-softmax and its gradient; in sampling a float64 sum over the vocabulary instead.
_LOGIT_BYTES = 24


@dataclass(frozen=True)
class Cost:
    """Upper bounds: a controller may stop earlier, completions may end earlier, equal programs are graded once."""

    cells: int = 0
    steps: int = 0
    train_samples: int = 0
    eval_samples: int = 0
    grades: int = 0
    tokens: int = 0
    event_mb: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))


def cost_of(config: RunConfig) -> Cost:
    campaign, chain = config.campaign, config.chain
    steps = _most_steps(config)
    train = steps * campaign.problems_per_step * campaign.group_size
    evaluated = steps + chain.campaigns * (1 if campaign.hand_on == "weights" else 2)  # step 0, and an average
    held_out = evaluated * (campaign.select + campaign.report) + config.control.duels * steps * campaign.select
    rolled_back = 0 if config.care.name == "none" else chain.campaigns - 1
    final = (1 + 2 * chain.campaigns + rolled_back) * chain.final
    ood = (1 + chain.campaigns) * (chain.ood or 0)
    revisited = campaign.report * sum(min(number, chain.revisit or 0) for number in range(chain.campaigns))
    base = chain.campaigns * (campaign.select + campaign.report) if chain.hard_cases else 0
    samples = (held_out + ood + revisited) * campaign.eval_samples + final * chain.final_samples
    samples += base * (chain.hard_cases or 0)
    greedy = (held_out + final + ood + revisited + base) if campaign.greedy else 0
    total = train + samples + greedy
    longest = _max_tokens(config)
    shown = campaign.show * (longest * _CHARACTERS_PER_TOKEN + 500)
    event = 3_000 + 12 * (campaign.select + campaign.report) + shown
    tokens = (total + _fisher_samples(config)) * longest
    return Cost(1, steps, train, samples + greedy, total, tokens, steps * event / 1e6)


def _fisher_samples(config: RunConfig) -> int:
    """Drawn to weigh EWC's pull, once for every anchor, and not graded."""
    ewc = _weight_penalty(config)
    problems, samples = ewc.drawn()
    return problems * samples * (config.chain.campaigns if ewc.held_at() == "start" else 1)


def _weight_penalty(config: RunConfig) -> WeightPenalty:
    return getattr(config.update, "ewc", WeightPenalty())


def _most_steps(config: RunConfig) -> int:
    """Steps of a chain whose campaigns all run to their end and peak there, after which a controller grants the
    most."""
    history: list[CampaignSummary] = []
    for number in range(config.chain.campaigns):
        budget = config.control.budget(config.campaign.steps, history)
        history.append(CampaignSummary(number, budget, 0.0, 1.0, budget, 1.0, budget))
    return sum(campaign.steps for campaign in history)


def total(configs: Iterable[RunConfig]) -> Cost:
    return sum((cost_of(config) for config in configs), Cost())


@dataclass(frozen=True)
class Memory:
    """Bytes of one cell under the native engine, at most, on the device that holds the weights; activations are a rule
    of thumb. Not counted: the libraries themselves (a CUDA context is some 0.5 GB) and fragmentation."""

    weights: int
    """Bytes of the weights, with their copies in the type of the computation."""
    gradients: int
    adam: int
    """Two moments."""
    copies: int
    """Weights of the base policy and of the campaign's start: KL is measured to both. Where they are asked for, the
    campaign's average weights and the Fisher information of EWC."""
    kv_cache: int
    """While sampling: keys and values."""
    logits: int
    """While sampling or training."""
    activations: int
    """While training, with the weights from before the update, which its norm is measured against, and what a pace may
    put back."""
    snapshot: int
    """While saving: a copy of weights and moments, and of the average."""

    @property
    def peak(self) -> int:
        """Sampling, training and saving take turns: the largest of them beside what is always there."""
        always = self.weights + self.gradients + self.adam + self.copies
        return always + max(self.kv_cache + self.logits, self.activations + self.logits, self.snapshot)

    def to_json(self) -> dict[str, int]:
        return asdict(self) | {"peak": self.peak}


@dataclass(frozen=True)
class Footprint:
    """The memory of a cell and the disk of its checkpoints, or why they are not known."""

    memory: Memory | None = None
    checkpoint_bytes: int = 0
    parameters: int = 0
    unknown: str = field(default="")

    @property
    def disk_bytes(self) -> int:
        return _CHECKPOINTS * self.checkpoint_bytes


def footprint(config: RunConfig) -> Footprint:
    """Footprint of a run, from the policy's `model_size()`, which reads a model's configuration and never its
    weights."""
    size_of = getattr(config.policy, "model_size", None)
    if size_of is None:
        return Footprint(unknown=f"policy {type(config.policy).__name__} does not state its size")
    try:
        size: ModelSize = size_of()
    except Exception as error:  # no model, no network, no library: a dry run says so and goes on
        return Footprint(unknown=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    saved = _copies_in_snapshot(config) * size.trainable * _FLOAT32
    return Footprint(_memory(config, size), saved, size.parameters)


def _memory(config: RunConfig, size: ModelSize) -> Memory:
    trained, campaign = size.trainable * _FLOAT32, config.campaign
    rows = max(
        campaign.problems_per_step * campaign.group_size,
        max(campaign.select, campaign.report) * (campaign.eval_samples + campaign.greedy),
        config.chain.final * (config.chain.final_samples + campaign.greedy),
    )
    sampled = size.sampled_together or rows * _max_tokens(config)
    return Memory(
        weights=size.weight_bytes + size.cast_bytes,
        gradients=trained,
        adam=_moments(config) * trained,
        copies=(2 + _averages(config) + _keeps_fisher(config)) * trained,
        kv_cache=sampled * size.cache * size.value_bytes,
        logits=size.logits_together * _LOGIT_BYTES,
        activations=size.trained_together * size.saved_bytes + (1 + _kept_for_pace(config)) * trained,
        snapshot=_copies_in_snapshot(config) * trained,
    )


def _copies_in_snapshot(config: RunConfig) -> int:
    """Weights, two moments, and the average if the final weights are one."""
    return 1 + _moments(config) + _averages(config)


def _moments(config: RunConfig) -> int:
    """Tensors of the weights' size that the optimizer keeps."""
    return 4 if getattr(config.update, "optimizer", "adamw") == "prodigy" else 2


def _kept_for_pace(config: RunConfig) -> int:
    """The weights after the step, which is pulled back along its way, and two moments from before it."""
    pace = getattr(getattr(config.update, "pace", None), "moments", None)
    return {None: 0, "kept": 1, "put_back": 3}[pace]


def _averages(config: RunConfig) -> bool:
    return config.campaign.hand_on != "weights"


def _keeps_fisher(config: RunConfig) -> bool:
    return _weight_penalty(config).drawn() != (0, 0)


def _max_tokens(config: RunConfig) -> int:
    return int(getattr(config.policy, "max_tokens", 0))
