"""Apply a decision to optimizers and schedulers: multiply learning rates, keep them multiplied, reset momenta."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

IN_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
_IN_SCHEDULERS = ("base_lrs", "max_lrs", "min_lrs", "_last_lr", "eta_min", "eta_max", "min_lr", "lr_min")
_COUNTERS = ("k", "weight_sum", "lr_max", "scheduled_lr", "d", "d_max", "d_numerator")
"""State that schedule-free optimizers and Prodigy hold in their groups; the initial values are their defaults."""
_PARTS = ("_schedulers", "after_scheduler", "scheduler", "lr_scheduler")


def is_optimizer(item: Any) -> bool:
    return hasattr(item, "param_groups") and _has_state_dict(item)


def is_scheduler(item: Any) -> bool:
    return hasattr(item, "get_last_lr") and _has_state_dict(item)


def unwrapped(item: Any) -> Any:
    """An optimizer or a scheduler without a wrapper such as accelerate's."""
    return getattr(item, "optimizer" if is_optimizer(item) else "scheduler", item)


def _has_state_dict(item: Any) -> bool:
    return callable(getattr(item, "state_dict", None)) and callable(getattr(item, "load_state_dict", None))


def scale_learning_rate(item: Any, factor: float) -> None:
    """Multiply the learning rates of an optimizer, and what a scheduler works them out from, its floor included.
    Anything else has none."""
    if is_optimizer(item):
        rates: list[Any] = []
        for group in item.param_groups:
            for key in group.keys() & set(IN_GROUPS):
                if key == "lr" and hasattr(group[key], "mul_"):  # a tensor, and perhaps one for all groups
                    rates += [group[key]] if all(group[key] is not rate for rate in rates) else []
                else:
                    group[key] = group[key] * factor
        for rate in rates:
            rate.detach().mul_(factor)
    if is_scheduler(item):
        _scale_scheduler(item, factor, set())


def _scale_scheduler(scheduler: Any, factor: float, seen: set[int]) -> None:
    if id(scheduler) in seen:
        return
    seen.add(id(scheduler))
    own = vars(scheduler)
    for key in own.keys() & set(_IN_SCHEDULERS):
        if isinstance(own[key], list | tuple):
            setattr(scheduler, key, [rate * factor for rate in own[key]])
        elif isinstance(own[key], int | float):
            setattr(scheduler, key, own[key] * factor)
    for key in own.keys() & set(_PARTS):  # of SequentialLR, ChainedScheduler, a warm-up in front, accelerate's wrapper
        for part in own[key] if isinstance(own[key], list | tuple) else [own[key]]:
            if hasattr(part, "__dict__"):
                _scale_scheduler(part, factor, seen)


def rates_of(optimizer: Any) -> list[float]:
    """The learning rate of each parameter group."""
    return [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]


def keep_rates(optimizer: Any) -> Callable[[], None]:
    """Remember an optimizer's rates as they are now; the function that is returned puts them back."""

    def copy(rate: Any) -> Any:
        return rate.clone() if hasattr(rate, "clone") else rate

    rates = [{key: copy(group[key]) for key in IN_GROUPS if key in group} for group in optimizer.param_groups]

    def put_back() -> None:
        for group, kept in zip(optimizer.param_groups, rates, strict=True):
            for key, rate in kept.items():
                if hasattr(group[key], "copy_"):  # a tensor, which a captured graph and a scheduler may hold
                    group[key].copy_(rate)
                else:
                    group[key] = rate

    return put_back


def forget(optimizer: Any) -> None:
    """Let an optimizer (or accelerate's wrapper of one) start anew: its state as of the day it was made, its options
    and learning rates as they are."""
    inner = unwrapped(optimizer)
    if type(inner).__name__ == "Adagrad":  # the one of torch's that makes its state beforehand
        for state in inner.state.values():
            state["step"].zero_()
            state["sum"].fill_(inner.defaults["initial_accumulator_value"])
    else:
        inner.state.clear()
    for group in inner.param_groups:
        group.update({key: inner.defaults[key] for key in group.keys() & set(_COUNTERS) & inner.defaults.keys()})
