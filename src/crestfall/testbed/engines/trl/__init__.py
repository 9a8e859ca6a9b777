"""The `trl` engine: the same campaigns through TRL's GRPOTrainer on accelerate, for what outgrows one process.

The campaign stays in charge, as with `native`: it asks for rollouts, for one step's updates, for an evaluation, and
decides. TRL and accelerate do what is hard at scale: the model's preparation for DDP, the loss, backward and gradient
reduction, clipping, mixed precision. `Trainer.train()` itself is not called. The alternative, a
campaign inside the callbacks of one `train()` a campaign, was rejected: its loop cannot step back (prompt order,
buffered completions and step counters are its own, and have to be patched behind its back after a rollback), every
call prepares model and optimizer anew (with DeepSpeed it destroys the engine), and a
decision taken inside a callback has to be taken identically on all ranks. Here the model is prepared once a run, no
state of the trainer outlives a step unless it is in the snapshot, and only the first rank decides (`leader`).

    models     the policy as a transformers model        loss      which rules TRL's loss can follow
    trainer    GRPOTrainer, one optimizer step at a time  batches   completions as its microbatches
    sampler    completions, problems dealt to the ranks   state     weights and moments, copied and put back
    engine     all of it as an Engine
    leader     one rank leads, the others follow
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from crestfall.core.errors import ConfigError
from crestfall.core.extras import require
from crestfall.core.registry import register
from crestfall.testbed.engines.base import Engine
from crestfall.testbed.engines.select import check_rule
from crestfall.testbed.engines.trl.options import TrlOptions

if TYPE_CHECKING:
    from crestfall.testbed.config import RunConfig


@register("engine", "trl")
@dataclass(frozen=True)
class Trl(TrlOptions):
    """TRL's GRPOTrainer on accelerate: several processes (DDP), mixed precision."""

    name: ClassVar[str]

    def check(self, config: RunConfig) -> None:
        """Raises ConfigError for what TRL cannot do, MissingExtraError without it."""
        require("torch", "transformers", "accelerate", "trl")
        check_rule(config)
        from crestfall.testbed.engines.trl.loss import loss_options

        loss_options(config.update, config.campaign.temperature)
        if config.policy.name not in ("tiny", "hf") and not hasattr(config.policy, "transformers_parts"):
            raise ConfigError(f"engine trl cannot train policy {config.policy.name!r}: it is not a transformers model")
        if config.campaign.hand_on != "weights":
            raise ConfigError("campaign.hand_on: engine 'trl' keeps no average; use 'weights'")

    def create(self, config: RunConfig) -> Engine:
        """In the only process, or in the first of several, which leads the others.

        Raises:
            ConfigError: TRL cannot do what the configuration asks for.
            MissingExtraError: TRL is not installed.
        """
        from crestfall.testbed.engines.trl.leader import lead

        return lead(config, self)

    def serve(self, config: RunConfig) -> None:
        """Follow the first process until its run is over; called in all other processes."""
        from crestfall.testbed.engines.trl.leader import follow

        follow(config, self)

    def dismiss(self, config: RunConfig) -> None:
        """Release the other processes; called in the first process when there is nothing to run."""
        from crestfall.testbed.engines.trl.leader import dismiss

        dismiss(config, self)
