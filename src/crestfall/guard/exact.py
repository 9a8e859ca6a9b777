"""Models and optimizers: out and back again bit for bit, whatever they are wrapped in."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from crestfall.core.errors import ConfigError
from crestfall.guard.learning_rate import unwrapped

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of a parameter's name that torch.compile and its kin put in, at any depth."""
_OUTER = ("DataParallel", "DistributedDataParallel")
"""Wrappers around a whole model, which put `module.` in front of every name."""
_SHARDED_BY = {
    *("DeepSpeedEngine", "DeepSpeedZeroOptimizer", "DeepSpeedZeroOptimizer_Stage3"),
    *("DistributedOptimizer", "ZeroRedundancyOptimizer"),
}


def refuse_uncapturable(item: Any, where: str) -> None:
    """Raises ConfigError for what holds weights that its state_dict does not have (DeepSpeed, Megatron, ZeRO)."""
    kinds = {kind.__name__ for kind in type(item).__mro__}
    parameters = item.parameters() if callable(getattr(item, "parameters", None)) else ()
    if kinds & _SHARDED_BY or any(hasattr(parameter, "ds_id") for parameter in parameters):
        raise ConfigError(
            f"{where}: a {type(item).__name__} keeps parts of its state elsewhere, and a snapshot would miss them: use "
            'Guard(..., keep="best", checkpoints=...), which protects the trainer\'s own checkpoints'
        )


def module_state(module: Any) -> dict[str, Any]:
    """`state_dict()` under the names that the bare model has."""
    state = _bare(module).state_dict()
    names = {name: bare_name(name) for name in state}
    if len(set(names.values())) < len(names):
        return dict(state)
    return {names[name]: value for name, value in state.items()}


def load_module(module: Any, state: Mapping[str, Any]) -> None:
    """Put back what `module_state` gave, whatever the model is wrapped in now."""
    bare = _bare(module)
    live = {bare_name(name): name for name in bare.state_dict()}
    bare.load_state_dict({live.get(name, name): value for name, value in state.items()})


def transient_buffers(module: Any) -> dict[str, Any]:
    """Buffers with `persistent=False`, by their names. Asked of the modules: a `state_dict` may be a collective."""
    return {
        bare_name(f"{path}.{name}" if path else name): getattr(part, name)
        for path, part in _bare(module).named_modules()
        for name in part._non_persistent_buffers_set
        if getattr(part, name) is not None
    }


def bare_name(name: str) -> str:
    """A parameter's name without what wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _bare(module: Any) -> Any:
    while True:
        if hasattr(module, "_orig_mod"):
            module = module._orig_mod
        elif type(module).__name__ in _OUTER and hasattr(module, "module"):
            module = module.module
        else:
            return module


def forget_gradients(parameters: Iterable[Any]) -> None:
    """Gradients of other weights are not to be added to, nor stepped along. Zeros, so that a step finds them there."""
    for parameter in parameters:
        if parameter.is_leaf and parameter.grad is not None:
            parameter.grad.zero_()


@contextmanager
def trainable_tensors() -> Iterator[None]:
    """Out of `torch.inference_mode`, if the caller is in it: what is made there can never be trained again."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


def load_optimizer(optimizer: Any, state: Mapping[str, Any]) -> None:
    """`load_state_dict`, and then what it changes on the way put right.

    torch's casts every floating-point state to its parameter's dtype: float32 moments of bfloat16 weights, and 8-bit
    moments, would come back as something else. And it puts new tensors into the places of those that a captured CUDA
    graph goes on writing into: where they are alike, the old ones get the new ones' values.
    """
    inner = unwrapped(optimizer)
    groups_before = [dict(group) for group in inner.param_groups]
    state_before = {parameter: dict(kept) for parameter, kept in getattr(inner, "state", {}).items()}
    optimizer.load_state_dict(state)
    try:
        saved_groups, saved = state["param_groups"], state["state"]
        numbers = [number for group in saved_groups for number in group["params"]]
    except (KeyError, TypeError):
        return  # a format of its own
    parameters = [parameter for group in inner.param_groups for parameter in group["params"]]
    for number, parameter in zip(numbers, parameters, strict=False):
        now = inner.state.get(parameter, {})
        for key in now.keys() & saved.get(number, {}).keys():
            now[key] = _uncast(now[key], saved[number][key], parameter.device)
        _into_the_old_tensors(now, state_before.get(parameter, {}))
    for group, before in zip(inner.param_groups, groups_before, strict=False):
        _into_the_old_tensors(group, before)


def _uncast(now: Any, saved: Any, device: Any) -> Any:
    """The loaded state, in which what has been cast is replaced by what was saved."""
    if hasattr(saved, "dtype") and hasattr(saved, "to"):
        same = type(now) is type(saved) and now.dtype == saved.dtype
        return now if same else saved.to(device=device)
    if type(saved) in (list, tuple) and type(now) is type(saved):
        return type(saved)(_uncast(a, b, device) for a, b in zip(now, saved, strict=True))
    if type(saved) is dict and isinstance(now, dict):
        return {key: _uncast(now[key], value, device) for key, value in saved.items()}
    return saved if isinstance(saved, str) else now  # of a string torch makes the name of a generator


def put_in(live: Any, kept: Mapping[str, Any]) -> None:
    """Make a dict hold what is kept, in the tensors that it has where they are alike."""
    before = dict(live)
    live.clear()
    live.update(kept)
    _into_the_old_tensors(live, before)


def _into_the_old_tensors(now: Any, before: Mapping[str, Any]) -> None:
    import torch

    for key, old in before.items():
        new = now.get(key)
        if type(old) is type(new) is torch.Tensor and _spec(old) == _spec(new):
            with torch.no_grad():
                now[key] = old.copy_(new)


def _spec(tensor: Any) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.device


def finite(item: Any) -> bool:
    """Whether every trainable weight of a module, or every value of a tensor or array, is finite. One device sync per
    device."""
    if isinstance(item, np.ndarray):
        return item.dtype.kind not in "fc" or bool(np.isfinite(item.sum(dtype=np.result_type(item, np.float64))))
    import torch

    weights = [p for p in item.parameters() if p.requires_grad] if isinstance(item, torch.nn.Module) else [item]
    sums: dict[Any, list[Any]] = {}
    for weight in weights:
        local = weight.detach()
        local = local.to_local() if hasattr(local, "to_local") else local
        local = torch.view_as_real(local) if local.is_complex() else local
        if local.is_floating_point() and not hasattr(local, "__tensor_flatten__"):
            if local.dtype.itemsize == 1:  # float8 knows no sums
                local = local.float()
            # A sum is finite only where every summand is; float32 holds the sum of any sane weights.
            sums.setdefault(local.device, []).append(local.sum(dtype=torch.promote_types(local.dtype, torch.float32)))
    return all(bool(torch.stack([s.double() for s in parts]).isfinite().all()) for parts in sums.values())
