"""GRPOTrainer, driven one optimizer step at a time over completions that somebody else sampled and graded.

What is TRL's, transformers' and accelerate's stays theirs: the preparation of model and optimizer, `training_step`
(autocast, the loss, backward), gradient reduction and its suspension between microbatches, clipping, the device.
Written against TRL 1.16 (see `engines.trl` for why `train()` is not called); of private names it uses
`_prepare_for_training`, `_prepare_inputs` and `_get_per_token_logps_and_entropies`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from crestfall.core.errors import ConfigError, MissingExtraError
from crestfall.testbed.engines.optimizer import LearningRate
from crestfall.testbed.engines.trl.loss import loss_options, loss_scale

try:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
except ImportError as error:
    raise MissingExtraError("trl", "trl") from error

if TYPE_CHECKING:
    from crestfall.testbed.config import RunConfig
    from crestfall.testbed.engines.trl.models import Parts
    from crestfall.testbed.engines.trl.options import TrlOptions

Microbatch = Mapping[str, Tensor]
"""Inputs of TRL's loss: prompt and completion ids and masks [B, T], advantages [B], num_items_in_batch []."""


def arguments(config: RunConfig, options: TrlOptions, directory: Path) -> Any:
    """The GRPOConfig of a run. Everything on which a result depends is given, whatever TRL's defaults become.

    Making it joins the process group, where the environment describes one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of names that transformers is going to change
        return GRPOConfig(**_arguments(config, options), output_dir=str(directory))


def _arguments(config: RunConfig, options: TrlOptions) -> dict[str, Any]:
    rule, group = config.update, config.campaign.group_size
    return dict(
        per_device_train_batch_size=options.microbatch,
        # TRL samples nothing here; the two make its checks pass for every microbatch.
        steps_per_generation=group,
        num_generations=group,
        max_completion_length=config.policy.max_tokens,
        max_steps=1,
        learning_rate=rule.learning_rate,
        max_grad_norm=rule.clip_norm,
        seed=config.seed % 2**32,
        use_cpu=options.device == "cpu" or not torch.cuda.is_available(),
        bf16=options.mixed_precision == "bf16",
        gradient_checkpointing=options.gradient_checkpointing,
        ddp_find_unused_parameters=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **loss_options(rule, config.campaign.temperature),
        use_vllm=False,
    )


class StepTrainer(GRPOTrainer):  # type: ignore[misc]
    """See the module. `model` is in training mode only within `optimizer_step`."""

    def __init__(self, parts: Parts, config: RunConfig, args: Any) -> None:
        self.rule = config.update
        self.rate = LearningRate(config.update)
        self._scale = self._loss_scale = loss_scale(config.update, config.policy.max_tokens)
        self._seen: tuple[Tensor, Tensor] | None = None
        with _without_warnings("trl"):
            super().__init__(
                model=parts.model,
                args=args,
                processing_class=parts.tokenizer,
                reward_funcs=_no_reward,
                train_dataset=Dataset.from_dict({"prompt": [""] * args.generation_batch_size}),
            )
        if self.is_deepspeed_enabled:
            raise ConfigError("engine trl rolls weights and moments back, which DeepSpeed keeps to itself: use DDP")
        if self.is_fsdp_enabled:
            raise ConfigError("engine trl holds whole weights in every process: configure accelerate for DDP, not FSDP")
        self._prepare_for_training(args.max_steps, None, None)
        self.state.global_step = 0

    # --- what the campaign decides, and not TRL ---

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW as the native engine has it: one group, the rule's options, weight decay on everything."""
        rule, trained = self.rule, [p for p in (model or self.model).parameters() if p.requires_grad]
        betas = (rule.beta1, rule.beta2)
        self.optimizer = torch.optim.AdamW(
            trained, lr=rule.learning_rate, betas=betas, eps=rule.epsilon, weight_decay=rule.weight_decay
        )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        self.set_updates(0)
        return self.lr_scheduler

    def set_updates(self, updates: int) -> None:
        """A scheduler that has seen so many updates since Adam's state was last fresh."""
        for group in self.optimizer.param_groups:
            group["initial_lr"] = self.rule.learning_rate
        # The scheduler's constructor takes a first step of its own.
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.rate.factor, last_epoch=updates - 1)

    @property
    def updates(self) -> int:
        return int(self.lr_scheduler.last_epoch)

    def _prepare_inputs(self, inputs: Any) -> Any:
        """Return the inputs unchanged: sampled, graded and on their device. A rollback leaves nothing stale."""
        return inputs

    # --- one step ---

    def optimizer_step(self, microbatches: Sequence[Microbatch], factor: float) -> tuple[float, list[Any]]:
        """Accumulate this process's microbatches and update once, as the trainer's own loop does.

        `factor` multiplies the loss. Every process has equally many microbatches of equally many rows.

        Returns:
            The gradient's norm before clipping, and each microbatch's log-probs and entropies.
        """
        self.current_gradient_accumulation_steps = len(microbatches)
        self._scale = self._loss_scale * factor
        seen = []
        for i, batch in enumerate(microbatches):
            last = i == len(microbatches) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.model_wrapped):
                self.training_step(self.model_wrapped, batch, None)
            seen.append(self._seen)
        norm = self.accelerator.clip_grad_norm_(self.model_wrapped.parameters(), self.args.max_grad_norm or math.inf)
        self.optimizer.step()
        self.lr_scheduler.step()
        self.model_wrapped.zero_grad()
        self.model.eval()
        self.state.global_step += 1
        for measured in self._metrics.values():  # kept for a log that is never written
            measured.clear()
        return float(norm), seen

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(*args, **kwargs) * self._scale

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        logprobs, entropies, auxiliary = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if entropies is not None:
            self._seen = logprobs.detach(), entropies.detach()
        return logprobs, entropies, auxiliary

    @torch.no_grad()
    def logprobs(self, batch: Microbatch) -> Tensor:
        """[B, T] log-probs of the completions' tokens under the weights of now."""
        ids = torch.cat((batch["prompt_ids"], batch["completion_ids"]), dim=1)
        mask = torch.cat((batch["prompt_mask"], batch["completion_mask"]), dim=1)
        length = batch["completion_ids"].shape[1]
        return self._get_per_token_logps_and_entropies(self.model_wrapped, ids, mask, length)[0]  # type: ignore[no-any-return]


def _no_reward(**_: Any) -> list[float]:
    raise AssertionError("grades come from crestfall's grader")


@contextlib.contextmanager
def _without_warnings(name: str) -> Any:
    """The library's log of what it thinks of options that are meant."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
