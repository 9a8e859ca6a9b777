"""The step meter inside a transformers Trainer: measured on the completions that a step learns from.

Written against TRL 1.16: of its trainers it uses what their losses read (`prompt_ids`, `completion_ids`, their masks)
and `_get_per_token_logps_and_entropies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from crestfall.control.pace import Pace
from crestfall.core.errors import ConfigError
from crestfall.guard.step_meter import StepMeter, output_layer

SAMPLES = 4
"""Completions of each prompt that a step is measured on."""
_OWN = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "tool_mask")
_IMAGES = (
    *("pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "spatial_shapes", "num_tiles"),
    *("image_sizes", "token_type_ids", "mm_token_type_ids", "image_position_ids"),
)


class TrainerMeter:
    """Keeps the updates of one trainer at one size. `before` and `after` go around its `optimizer.step()`.

    With several iterations over a batch the completions are those of the policy before the first of them.

    Raises:
        ConfigError: the pace measures KL, and the trainer is none of TRL's that sample (GRPO, RLOO).
    """

    def __init__(self, trainer: Any, optimizer: Any, pace: str | Mapping[str, Any] | Pace) -> None:
        named = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
        self.meter = StepMeter(named.values(), optimizer, pace, output_layer(named))
        self._trainer, self._optimizer, self._seen = trainer, optimizer, list[dict[str, Any]]()
        self._compute_loss: Any = None
        if self.meter.pace.measure == "kl":
            if not hasattr(trainer, "_get_per_token_logps_and_entropies"):
                raise ConfigError(
                    f"CrestfallCallback(pace='kl'): a {type(trainer).__name__} samples no completions to measure a "
                    "step on; use pace='norm'"
                )
            self._compute_loss = trainer.compute_loss
            trainer.compute_loss = self._noting

    def before(self) -> None:
        """Right before the optimizer's step."""
        self.meter.before(self._logprobs if self._compute_loss is not None else None)

    def after(self) -> dict[str, float]:
        """Right after it. Returns signals."""
        used = self.meter.scale
        measured = self.meter.after()
        self._seen.clear()
        return measured.signals() | {"pace": used}

    def close(self) -> None:
        """Leave the trainer as it was."""
        if self._compute_loss is not None:
            del self._trainer.compute_loss  # the class's own shows again
            self._compute_loss = None

    def _noting(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The trainer's `compute_loss`, noting what it is learning from (and not what it evaluates on)."""
        if torch.is_grad_enabled():
            self._seen.append(self._few(inputs))
        return self._compute_loss(model, inputs, *args, **kwargs)

    def _few(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Some rows of a microbatch, which the trainer has shuffled; all of them where they have pictures."""
        kept = {name: inputs[name] for name in (*_OWN, *_IMAGES) if inputs.get(name) is not None}
        if any(name in kept for name in _IMAGES):
            return kept
        rows = len(kept["completion_ids"])
        few = max(1, -(-rows * SAMPLES // max(SAMPLES, getattr(self._trainer.args, "num_generations", 1))))
        return {name: tensor[:few] for name, tensor in kept.items()}

    def _logprobs(self) -> tuple[Tensor, Tensor]:
        if not self._seen:
            raise ConfigError("CrestfallCallback(pace='kl'): the trainer has computed no loss before this update")
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        training = model.training
        model.eval()
        try:
            with self._trainer.compute_loss_context_manager():
                pairs = [self._of(model, part) for part in self._seen]
        finally:
            model.train(training)
        return torch.cat([values for values, _ in pairs]), torch.cat([mask for _, mask in pairs])

    def _of(self, model: Any, part: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        ids = torch.cat((part["prompt_ids"], part["completion_ids"]), dim=1)
        mask = torch.cat((part["prompt_mask"], part["completion_mask"]), dim=1)
        pictures = {name: part[name] for name in _IMAGES if name in part}
        values = self._trainer._get_per_token_logps_and_entropies(
            model, ids, mask, part["completion_ids"].shape[1], **pictures
        )[0]
        own = part["completion_mask"] * part.get("tool_mask", 1)
        return values.reshape(-1), own.reshape(-1)
