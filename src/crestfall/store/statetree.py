"""Nested training state <-> safetensors + JSON, without pickle.

A *state tree* is what `state_dict()` methods return: dicts, lists and tuples, nested, with tensors, arrays, numbers,
strings, booleans and None as leaves. `pack` takes it apart into named tensors (safetensors can hold them) and a JSON
*skeleton*; `unpack` puts it together again, equal in every value, type and dtype. Loading runs no code that the file
brings along.

What is not a state tree (a function, an object of a class of your own) is refused by name:
`optimizer.state.0.hook: ...`. Works on numpy arrays without torch; torch is imported only where a tree holds tensors.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.core.errors import InputError, MissingExtraError

_FORMAT = "state-tree/1"
_TAG = "$"
_MAPPINGS: dict[str, type[dict[Any, Any]]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}


@dataclass(frozen=True)
class Packed:
    """A state tree taken apart. `leaves` are copies in host memory, out of reach of what happens to the originals."""

    skeleton: Any
    leaves: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in self.leaves.values())


def pack(tree: Any) -> Packed:
    """Take a state tree apart.

    Tensors are detached and copied to the CPU; one that occurs several times (tied weights) is stored once.

    Raises:
        InputError: the tree holds something that is not data; the message names where.
    """
    packer = _Packer()
    return Packed(packer.encode(tree, ""), packer.leaves)


def unpack(packed: Packed) -> Any:
    """The state tree again. Its tensors are fresh copies: an optimizer keeps what it loads, and writes into it."""
    fresh: dict[str, Any] = {}

    def leaf(name: str) -> Any:
        if name not in packed.leaves:
            raise InputError(f"stored state names a tensor {name!r} that is not stored with it")
        if name not in fresh:
            stored = packed.leaves[name]
            fresh[name] = stored.copy() if isinstance(stored, np.ndarray) else stored.clone()
        return fresh[name]

    return _decode(packed.skeleton, leaf)


def write(packed: Packed, path: Path) -> None:
    """Write one safetensors file with the skeleton in its header's metadata. Not atomic: the caller renames."""
    framework = "torch" if any(not isinstance(leaf, np.ndarray) for leaf in packed.leaves.values()) else "numpy"
    metadata = {
        "crestfall": _FORMAT,
        "framework": framework,
        "skeleton": json.dumps(packed.skeleton, allow_nan=False),
    }
    leaves = dict(packed.leaves)
    if framework == "torch":
        import torch

        leaves = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in leaves.items()}
    _safetensors(framework).save_file(leaves, path, metadata)


def read(path: Path) -> Packed:
    """What `write` wrote.

    Raises:
        InputError: not such a file, or a torn one.
        MissingExtraError: it holds torch tensors and torch is not installed.
    """
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    return _assemble(header, lambda library: library.load_file(path), str(path))


def from_bytes(raw: bytes, where: str) -> Packed:
    """`read` for the bytes of such a file, sent by another process; an error's message begins with `where`."""
    return _assemble(raw[8 : 8 + int.from_bytes(raw[:8], "little")], lambda library: library.load(raw), where)


def _assemble(header: bytes, load: Callable[[Any], dict[str, Any]], where: str) -> Packed:
    try:
        metadata = json.loads(header)["__metadata__"]
        if metadata["crestfall"] != _FORMAT:
            raise ValueError(f"format {metadata['crestfall']!r}")
        skeleton, framework = json.loads(metadata["skeleton"]), metadata["framework"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where}: not a crestfall state file ({error})") from None
    library = _safetensors(framework)
    try:
        leaves = load(library)
    except Exception as error:  # safetensors' own exception class is not part of its stable interface
        raise InputError(f"{where}: torn or corrupt state file ({error})") from None
    arrays = _names_of_arrays(skeleton) if framework == "torch" else set()
    return Packed(skeleton, {k: v.numpy() if k in arrays else v for k, v in leaves.items()})


class _Packer:
    def __init__(self) -> None:
        self.leaves: dict[str, Any] = {}
        self._known: dict[tuple[Any, ...], tuple[str, Any]] = {}

    def encode(self, node: Any, path: str) -> Any:
        kind = type(node)
        if node is None or kind in (bool, int, str):
            return node
        if kind is float:
            return node if math.isfinite(node) else {_TAG: "float", "v": repr(node)}
        if kind is list:
            return [self.encode(item, f"{path}.{i}") for i, item in enumerate(node)]
        if kind is tuple:
            return {_TAG: "tuple", "v": [self.encode(item, f"{path}.{i}") for i, item in enumerate(node)]}
        if kind in _MAPPINGS.values():
            return self._encode_mapping(node, path)
        if kind is bytes:
            return {_TAG: "bytes", "v": base64.b64encode(node).decode()}
        if isinstance(node, np.generic):
            return {_TAG: "scalar", "v": self._array(np.asarray(node), path)}
        if kind is np.ndarray:
            return {_TAG: "array", "v": self._array(node, path)}
        if _is_tensor(node):
            return {_TAG: "tensor", "v": self._tensor(node, path)}
        raise InputError(
            f"{path.lstrip('.') or 'state'}: cannot store a {kind.__module__}.{kind.__qualname__} without pickle"
        )

    def _encode_mapping(self, node: Mapping[Any, Any], path: str) -> Any:
        if type(node) is dict and all(type(key) is str for key in node) and _TAG not in node:
            return {key: self.encode(value, f"{path}.{key}") for key, value in node.items()}
        pairs = [
            [self.encode(key, f"{path}.{key}"), self.encode(value, f"{path}.{key}")] for key, value in node.items()
        ]
        return {_TAG: type(node).__name__, "v": pairs}

    def _array(self, array: np.ndarray[Any, Any], path: str) -> str:
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise InputError(f"{path.lstrip('.')}: cannot store an array of dtype {array.dtype}")
        native = array.astype(array.dtype.newbyteorder("="))
        return self._leaf(native.copy(order="C"), path)

    def _tensor(self, tensor: Any, path: str) -> str:
        if not hasattr(tensor, "data_ptr") or type(tensor).__name__ == "DTensor":
            raise InputError(
                f"{path.lstrip('.')}: a sharded tensor; give the guard `capture` and `restore` that gather it"
            )
        if str(tensor.layout) != "torch.strided" or tensor.is_quantized or tensor.is_complex():
            raise InputError(f"{path.lstrip('.')}: cannot store a {tensor.layout} tensor of {tensor.dtype}")
        # Tied weights: the same memory seen twice is stored once. The tensor is kept beside its name, so that its
        # address is not given to another one while packing goes on.
        same = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(), str(tensor.device))
        if tensor.numel() and same in self._known:
            return self._known[same][0]
        name = self._leaf(tensor.detach().to("cpu", copy=True).contiguous(), path)
        self._known[same] = (name, tensor)
        return name

    def _leaf(self, value: Any, path: str) -> str:
        """A readable name (`model.layers.0.weight`), made unique: {"a.b": t} and {"a": {"b": t}} spell alike."""
        base = path.lstrip(".") or "value"
        name, i = base, 1
        while name in self.leaves:
            i += 1
            name = f"{base}#{i}"
        self.leaves[name] = value
        return name


def _decode(node: Any, leaf: Callable[[str], Any]) -> Any:
    if isinstance(node, list):
        return [_decode(item, leaf) for item in node]
    if not isinstance(node, dict):
        return node
    if _TAG not in node:
        return {key: _decode(value, leaf) for key, value in node.items()}
    tag, value = node[_TAG], node["v"]
    if tag in ("tensor", "array"):
        return leaf(value)
    if tag == "scalar":
        return leaf(value)[()]
    if tag == "float":
        return float(value)
    if tag == "tuple":
        return tuple(_decode(item, leaf) for item in value)
    if tag == "bytes":
        return base64.b64decode(value)
    if tag in _MAPPINGS:
        return _MAPPINGS[tag]({_decode(key, leaf): _decode(item, leaf) for key, item in value})
    raise InputError(f"stored state holds an unknown tag {tag!r}: written by a newer crestfall?")


def _names_of_arrays(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(_names_of_arrays, node))
    if not isinstance(node, dict):
        return set()
    if node.get(_TAG) in ("array", "scalar"):
        return {node["v"]}
    return set().union(*map(_names_of_arrays, node.values()))


def _is_tensor(node: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(node, torch.Tensor)


def _safetensors(framework: str) -> Any:
    try:
        if framework == "numpy":
            import safetensors.numpy as library
        else:
            import safetensors.torch as library
    except ImportError as error:
        raise MissingExtraError(error.name or "safetensors", "train") from None
    return library
