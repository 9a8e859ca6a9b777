"""Tensors that are more than a block of numbers: wrapper subclasses, shards, dtypes that safetensors does not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crestfall.core.errors import InputError
from crestfall.store import metadata

_KNOWN_TO_SAFETENSORS = frozenset(
    f"torch.{name}"
    for name in [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint64",
        "uint32",
        "uint16",
        "uint8",
        "bool",
    ]
)


@dataclass(frozen=True)
class Parts:
    """Parts of a wrapper subclass: plain tensors, and the small objects that say how they belong together."""

    tensors: Mapping[str, Any]
    context: Any
    size: tuple[int, ...]
    stride: tuple[int, ...]


def parts_of(tensor: Any, where: str) -> Parts | None:
    """The parts of a tensor that has no storage of its own; None for one that has.

    Raises:
        InputError: it has neither, or carries attributes that a copy of its numbers would lose. Begins with `where`.
    """
    import torch

    kind = f"{type(tensor).__module__}.{type(tensor).__qualname__}"
    if type(tensor).__name__ == "ShardedTensor":
        raise InputError(
            f"{where}: cannot store a ShardedTensor; shard the model with fully_shard, or leave FSDP's state_dict_type "
            "at FULL_STATE_DICT"
        )
    if tensor.is_nested:
        raise InputError(f"{where}: cannot store a nested tensor; give the guard the tensors in it")
    if hasattr(tensor, "__tensor_flatten__"):
        names, context = tensor.__tensor_flatten__()
        inner = {name: getattr(tensor, name) for name in names}
        return Parts(inner, context, tuple(tensor.shape), tuple(tensor.stride()))
    if torch.nn.parameter.is_lazy(tensor):
        raise InputError(f"{where}: a lazy parameter has no values yet; run the model once before the guard is made")
    if tensor.device.type == "meta":
        raise InputError(f"{where}: a tensor on the meta device has no values; give the guard the model that has them")
    if str(tensor.layout) != "torch.strided" or tensor.is_quantized:
        raise InputError(f"{where}: cannot store a {tensor.layout} tensor of {tensor.dtype}")
    if tensor.numel() and not _has_storage(tensor):
        raise InputError(
            f"{where}: a {kind} has no storage of its own and no __tensor_flatten__: what it holds cannot be copied; "
            "leave it out of `state`, or give the guard `capture` and `restore`"
        )
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
    if not plain and not isinstance(tensor, torch.nn.Parameter) and vars(tensor):
        raise InputError(
            f"{where}: a {kind} has attributes of its own ({', '.join(vars(tensor))}) and no __tensor_flatten__: a "
            "copy would lose them; give the guard `capture` and `restore`"
        )
    return None


def _has_storage(tensor: Any) -> bool:
    try:
        return bool(tensor.data_ptr())
    except RuntimeError:  # torch's own fake and functional tensors
        return False


def put_together(kind: list[str], parts: Mapping[str, Any], context: Any, size: Any, stride: Any) -> Any:
    """The subclass again. Raises InputError where this process has not loaded the class."""
    import torch

    made = metadata.loaded_class(kind, torch.Tensor)
    return made.__tensor_unflatten__(dict(parts), context, torch.Size(size), tuple(stride))


def as_bytes(tensor: Any) -> Any | None:
    """The bytes of a tensor whose dtype safetensors does not know, uint8[n]; None for the others."""
    import torch

    if str(tensor.dtype) in _KNOWN_TO_SAFETENSORS:
        return None
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
    return plain.reshape(-1).view(torch.uint8)


def from_bytes(raw: Any, dtype: str, shape: list[int]) -> Any:
    import torch

    return raw.view(getattr(torch, dtype)).reshape(shape)


# --- shards -----------------------------------------------------------------------------------------------------------


def is_sharded(tensor: Any) -> bool:
    return type(tensor).__name__ == "DTensor" and type(tensor).__module__.startswith("torch.distributed")


@dataclass(frozen=True)
class Shard:
    """Shard of a DTensor in this process, and its place (`spec`: torch's DTensorSpec)."""

    local: Any
    spec: Any

    @classmethod
    def of(cls, tensor: Any) -> Shard:
        return cls(tensor.detach().to_local(), tensor._spec)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole tensor."""
        return tuple(self.spec.tensor_meta.shape)

    @property
    def nbytes(self) -> int:
        return int(self.local.nbytes)

    @property
    def dtype(self) -> Any:
        return self.local.dtype

    def clone(self) -> Any:
        """A DTensor of its own on the mesh's device."""
        return self._tensor(self.local.clone().to(self.spec.mesh.device_type))

    def offloaded(self) -> Any:
        """A DTensor over the same memory, which may be the host's while the mesh is one of GPUs."""
        return self._tensor(self.local)

    def empty(self) -> Shard:
        """The same shard in host memory with nothing in it yet."""
        import torch

        return Shard(torch.empty_like(self.local, device="cpu"), self.spec)

    def _tensor(self, local: Any) -> Any:
        from torch.distributed.tensor import DTensor

        made: Any = DTensor
        return made(local, self.spec, requires_grad=False)
