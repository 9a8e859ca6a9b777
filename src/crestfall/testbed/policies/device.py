"""The device that a policy's option names."""

from __future__ import annotations

from typing import Literal

import torch

from crestfall.core.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]


def torch_device(name: Device) -> torch.device:
    """`auto` is CUDA where there is any. Raises ConfigError for a `cuda` that torch does not find."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("policy.device: 'cuda' is asked for and torch finds none; use 'cpu' or 'auto'")
    return torch.device(name)
