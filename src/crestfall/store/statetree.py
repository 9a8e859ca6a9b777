"""Nested training state <-> safetensors + JSON, without pickle.

A *state tree* is what `state_dict()` methods return: dicts, lists and tuples, nested, with tensors, arrays, numbers,
strings, booleans and None as leaves. `pack` takes it apart into named tensors (safetensors can hold them) and a JSON
*skeleton*; `unpack` puts it together again, equal in every value, type and dtype. Loading runs no code that the file
brings along.

A tensor without storage of its own (torchao's quantised weights, an 8-bit optimizer's moments, any wrapper subclass)
is kept as the tensors that it is made of (`__tensor_flatten__`). A sharded tensor (DTensor) is kept as this process's
shard (`store.tensors.Shard`): in memory alone, `guard.sharded` writes it.

What is not a state tree (a function, an object of a class of your own) is refused by name:
`optimizer.state.0.hook: ...`. Works on numpy arrays without torch; torch is imported only where a tree holds tensors.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crestfall.core.errors import InputError, MissingExtraError
from crestfall.store import metadata, tensors

_FORMAT = "state-tree/1"
_TAG = "$"
_MAPPINGS: dict[str, type[dict[Any, Any]]] = {
    "dict": dict,
    "OrderedDict": OrderedDict,
    "Counter": Counter,
    "defaultdict": dict,  # its factory is code; what is there is a dict
}
_PLAIN = (bool, int, str)
_DTYPES = {
    **{
        f"{letter}{bits}": f"{name}{bits}" for letter, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
    },
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""safetensors' names -> torch's."""

Copy = Callable[[Any], Any]
"""A tensor -> a contiguous tensor on the CPU that shares no memory with it."""


@dataclass(frozen=True)
class Packed:
    """A state tree taken apart. `leaves` are copies in host memory, out of reach of what happens to the originals."""

    skeleton: Any
    leaves: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in self.leaves.values())

    @property
    def sharded(self) -> dict[str, tensors.Shard]:
        """Those of the leaves that are shards: other processes hold the rest of these tensors."""
        return {name: leaf for name, leaf in self.leaves.items() if isinstance(leaf, tensors.Shard)}


def pack(tree: Any, copy: Copy | None = None) -> Packed:
    """Take a state tree apart.

    Tensors are detached and copied to the CPU (`copy`: how); one that occurs several times (tied weights) is stored
    once.

    Raises:
        InputError: the tree holds something that is not data; the message names where.
    """
    return copied(look(tree), copy)


def look(tree: Any) -> Packed:
    """`pack` without copies: the leaves are the live tensors, wherever they are."""
    packer = _Packer()
    return Packed(packer.encode(tree, ""), packer.leaves)


def copied(packed: Packed, copy: Copy | None = None, only: Collection[str] | None = None) -> Packed:
    """The same with copies of the leaves (of those named in `only`; the others are left out)."""
    names = packed.leaves if only is None else [name for name in packed.leaves if name in only]
    return Packed(packed.skeleton, {name: _copied(packed.leaves[name], copy or _fresh_copy) for name in names})


def _copied(leaf: Any, copy: Copy) -> Any:
    if isinstance(leaf, np.ndarray):
        return leaf.copy(order="C")
    return replace(leaf, local=copy(leaf.local)) if isinstance(leaf, tensors.Shard) else copy(leaf)


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
    if shards := packed.sharded:
        raise InputError(f"{next(iter(shards))}: a sharded tensor does not go into one file")
    library, leaves, header = _file_of(packed)
    library.save_file(leaves, path, header)


def to_bytes(packed: Packed) -> bytes:
    """Bytes that `write` writes, to be sent to another process."""
    library, leaves, header = _file_of(packed)
    out: bytes = library.save(leaves, header)
    return out


def _file_of(packed: Packed) -> tuple[Any, dict[str, Any], dict[str, str]]:
    """(the library that writes them, the tensors, the header's metadata)."""
    framework = "torch" if any(not isinstance(leaf, np.ndarray) for leaf in packed.leaves.values()) else "numpy"
    header = {
        "crestfall": _FORMAT,
        "framework": framework,
        "skeleton": json.dumps(packed.skeleton, allow_nan=False),
    }
    leaves = dict(packed.leaves)
    if framework == "torch":
        import torch

        leaves = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in leaves.items()}
    return _safetensors(framework), leaves, header


def read(path: Path) -> Packed:
    """Read a file of `write`.

    Raises:
        InputError: not such a file, or a torn one.
        MissingExtraError: it holds torch tensors and torch is not installed.
    """
    return _assemble(_raw_header(path), lambda library: library.load_file(path), str(path))


def from_bytes(raw: bytes, where: str) -> Packed:
    """`read` for what `to_bytes` gave; an error's message begins with `where`."""
    return _assemble(raw[8 : 8 + int.from_bytes(raw[:8], "little")], lambda library: library.load(raw), where)


def _assemble(header: bytes, load: Callable[[Any], dict[str, Any]], where: str) -> Packed:
    skeleton, framework = _header(header, where)
    library = _safetensors(framework)
    try:
        leaves = load(library)
    except Exception as error:  # safetensors' own exception class is not part of its stable interface
        raise InputError(f"{where}: torn or corrupt state file ({error})") from None
    arrays = _names_of_arrays(skeleton) if framework == "torch" else set()
    return Packed(skeleton, {k: v.numpy() if k in arrays else v for k, v in leaves.items()})


@dataclass(frozen=True)
class Outline:
    """A state tree without its numbers: what can be told of a file from its header alone.

    `tensors`: path -> (dtype, shape); the shape of a shard is that of the whole tensor.
    """

    skeleton: Any
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


def outline(packed: Packed) -> Outline:
    specs = {name: (str(leaf.dtype).removeprefix("torch."), tuple(leaf.shape)) for name, leaf in packed.leaves.items()}
    return Outline(packed.skeleton, _tensors_in(packed.skeleton, specs))


def outline_of_file(path: Path) -> Outline:
    """`outline` of what `write` wrote. Raises InputError as `read` does."""
    raw = _raw_header(path)
    skeleton, _ = _header(raw, str(path))
    entries = {name: spec for name, spec in json.loads(raw).items() if name != "__metadata__"}
    specs = {name: (_DTYPES.get(spec["dtype"], spec["dtype"]), tuple(spec["shape"])) for name, spec in entries.items()}
    return Outline(skeleton, _tensors_in(skeleton, specs))


def _raw_header(path: Path) -> bytes:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return file.read(size)


def _header(raw: bytes, where: str) -> tuple[Any, str]:
    """(skeleton, framework)."""
    try:
        header = json.loads(raw)["__metadata__"]
        if header["crestfall"] != _FORMAT:
            raise ValueError(f"format {header['crestfall']!r}")
        return json.loads(header["skeleton"]), str(header["framework"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where}: not a crestfall state file ({error})") from None


class _Packer:
    def __init__(self) -> None:
        self.leaves: dict[str, Any] = {}
        self._known: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def encode(self, node: Any, path: str) -> Any:
        kind = type(node)
        if node is None or kind in _PLAIN:
            return node
        if kind is float:
            return node if math.isfinite(node) else {_TAG: "float", "v": repr(node)}
        if kind is list:
            return [self.encode(item, f"{path}.{i}") for i, item in enumerate(node)]
        if kind in (tuple, deque):
            items = [self.encode(item, f"{path}.{i}") for i, item in enumerate(node)]
            return {_TAG: "tuple", "v": items} if kind is tuple else {_TAG: "deque", "v": items, "n": node.maxlen}
        if kind in _MAPPINGS.values() or kind is defaultdict:
            return self._encode_mapping(node, path)
        if kind is bytes:
            return {_TAG: "bytes", "v": base64.b64encode(node).decode()}
        if isinstance(node, np.generic):
            return {_TAG: "scalar", "v": self._array(np.asarray(node), path)}
        if kind is np.ndarray:
            return {_TAG: "array", "v": self._array(node, path)}
        if _is_tensor(node):
            return self._tensor(node, path)
        if (small := metadata.encode(node, lambda part: self.encode(part, path))) is not None:
            return {_TAG: small[0], "v": small[1]}
        raise InputError(f"{_named(path)}: cannot store a {kind.__module__}.{kind.__qualname__} without pickle")

    def _encode_mapping(self, node: Mapping[Any, Any], path: str) -> Any:
        if type(node) is dict and all(type(key) is str for key in node) and _TAG not in node:
            return {key: self.encode(value, f"{path}.{key}") for key, value in node.items()}
        pairs = [
            [self.encode(key, f"{path}.{key}"), self.encode(value, f"{path}.{key}")] for key, value in node.items()
        ]
        return {_TAG: type(node).__name__, "v": pairs}

    def _array(self, array: np.ndarray[Any, Any], path: str) -> str:
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise InputError(f"{_named(path)}: cannot store an array of dtype {array.dtype}")
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        return self._leaf(native, path)

    def _tensor(self, tensor: Any, path: str) -> Any:
        if tensors.is_sharded(tensor):
            shard = tensors.Shard.of(tensor)
            about = {"dtype": str(shard.dtype).removeprefix("torch."), "shape": list(shard.shape)}
            return {_TAG: "shard", "v": self._leaf(shard, path), **about}
        if parts := tensors.parts_of(tensor, _named(path)):
            inner = {name: self.encode(part, f"{path}.{name}") for name, part in parts.tensors.items()}
            known: dict[str, Any] = {"class": metadata.class_name(type(tensor))}
            known["about"] = [self.encode(item, path) for item in (parts.context, parts.size, parts.stride)]
            return {_TAG: "subclass", "v": inner, **known}
        # Tied weights: the same memory seen twice is stored once. The tensor is kept beside its name, so that its
        # address is not given to another one while packing goes on.
        same = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(), str(tensor.device))
        if tensor.numel() and same in self._known:
            return self._known[same][0]
        raw = tensors.as_bytes(tensor)
        if raw is None:
            node = {_TAG: "tensor", "v": self._leaf(tensor.detach(), path)}
        else:  # a dtype that safetensors does not know
            kept: dict[str, Any] = {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
            node = {_TAG: "raw", "v": self._leaf(raw, path), **kept}
        self._known[same] = (node, tensor)
        return node

    def _leaf(self, value: Any, path: str) -> str:
        """A readable name (`model.layers.0.weight`), made unique: {"a.b": t} and {"a": {"b": t}} spell alike."""
        base = path.lstrip(".") or "value"
        name, i = base, 1
        while name in self.leaves:
            i += 1
            name = f"{base}#{i}"
        self.leaves[name] = value
        return name


def _fresh_copy(tensor: Any) -> Any:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _named(path: str) -> str:
    return path.lstrip(".") or "state"


def _decode(node: Any, leaf: Callable[[str], Any]) -> Any:
    def part(inner: Any) -> Any:
        return _decode(inner, leaf)

    if isinstance(node, list):
        return [part(item) for item in node]
    if not isinstance(node, dict):
        return node
    if _TAG not in node:
        return {key: part(value) for key, value in node.items()}
    tag, value = node[_TAG], node["v"]
    if tag in ("tensor", "array", "shard"):
        return leaf(value)
    if tag == "scalar":
        return leaf(value)[()]
    if tag == "raw":
        return tensors.from_bytes(leaf(value), node["dtype"], node["shape"])
    if tag == "subclass":
        inner = {name: part(item) for name, item in value.items()}
        return tensors.put_together(node["class"], inner, *map(part, node["about"]))
    if tag == "float":
        return float(value)
    if tag == "tuple":
        return tuple(part(item) for item in value)
    if tag == "deque":
        return deque((part(item) for item in value), node["n"])
    if tag == "bytes":
        return base64.b64decode(value)
    if tag in _MAPPINGS:
        return _MAPPINGS[tag]({part(key): part(item) for key, item in value})
    return metadata.decode(tag, value, part)


def _tensors_in(skeleton: Any, specs: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, Any]:
    out: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, list):
            for i, item in enumerate(node):
                walk(item, f"{path}.{i}")
        elif not isinstance(node, dict):
            return
        elif _TAG not in node:
            for key, item in node.items():
                walk(item, f"{path}.{key}")
        elif node[_TAG] in ("tensor", "array", "scalar"):
            out[_named(path)] = specs.get(node["v"])
        elif node[_TAG] in ("raw", "shard"):
            out[_named(path)] = node["dtype"], tuple(node["shape"])
        elif node[_TAG] == "subclass":
            size = node["about"][1]
            out[_named(path)] = ".".join(node["class"]), tuple(size["v"])
        elif node[_TAG] in _MAPPINGS:
            for key, item in node["v"]:
                walk(item, f"{path}.{key}")
        elif node[_TAG] in ("tuple", "deque"):
            walk(node["v"], path)

    walk(skeleton, "")
    return out


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
        raise MissingExtraError(error.name or "torch", "train") from None
    return library
