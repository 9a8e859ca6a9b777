"""Training state survives the trip through safetensors + JSON with every value, type and dtype."""

import json
import math
import pickle
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crestfall.core.errors import InputError
from crestfall.store import statetree

torch = pytest.importorskip("torch")


def round_trip(tree: Any, path: Path) -> Any:
    statetree.write(statetree.pack(tree), path)
    return statetree.unpack(statetree.read(path))


def same(a: Any, b: Any) -> bool:
    """Equal in type, dtype and bits, NaN included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return [*a] == [*b] and all(type(x) is type(y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.view(bits), b.view(bits))
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
keys = st.text() | st.integers() | st.just("$") | st.tuples(st.integers(), st.text())
tensors = st.sampled_from(
    [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool]
).flatmap(
    lambda dtype: st.lists(st.integers(0, 3), max_size=3).map(
        lambda shape: torch.arange(math.prod(shape)).reshape(shape).to(dtype)
    )
)
arrays = st.sampled_from(["f4", "f8", "i8", "u2", "?"]).map(lambda dtype: np.arange(4).reshape(2, 2).astype(dtype))
trees = st.recursive(
    scalars | tensors | arrays | st.sampled_from([np.float64(0.5), np.int32(3)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=8,
)


@given(tree=trees)
def test_any_tree_round_trips(tree: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert same(round_trip(tree, tmp_path_factory.mktemp("tree") / "state.safetensors"), tree)


def test_adam_and_schedulers_round_trip(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 1))
    optimizer = torch.optim.AdamW([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}])
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step),
        torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5]),
        torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer),
    ]
    for _ in range(3):
        model(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    tree = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedulers": [s.state_dict() for s in schedulers],
    }
    back = round_trip(tree, tmp_path / "s")
    assert same(back, tree)
    assert isinstance(back["schedulers"][1]["milestones"], Counter)
    assert back["schedulers"][2]["best"] == math.inf
    optimizer.load_state_dict(back["optimizer"])


def test_a_snapshot_is_out_of_reach_of_what_happens_later() -> None:
    weight, array = torch.zeros(2), np.zeros(2)
    packed = statetree.pack({"w": weight, "a": array})
    weight += 1
    array += 1
    first = statetree.unpack(packed)
    first["w"] += 5  # an optimizer that loaded the state writes into it
    assert same(statetree.unpack(packed), {"w": torch.zeros(2), "a": np.zeros(2)})


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    tied = torch.randn(100)
    packed = statetree.pack({"embed": tied, "head": tied, "part": tied[:50]})
    assert packed.nbytes == 600
    back = round_trip({"embed": tied, "head": tied}, tmp_path / "s")
    assert back["embed"] is back["head"]


def test_paths_that_spell_alike_stay_apart(tmp_path: Path) -> None:
    tree = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}}
    assert same(round_trip(tree, tmp_path / "s"), tree)


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({"optimizer": {"hooks": [len]}}, "optimizer.hooks.0: cannot store a builtins.builtin_function_or_method"),
        ({"x": np.array([object()])}, "x: cannot store an array of dtype object"),
        ({"x": torch.zeros(2, device="meta")}, "x: a tensor on the meta device has no values"),
        ({"x": torch.zeros(2).to_sparse()}, "x: cannot store a torch.sparse_coo tensor of torch.float32"),
    ],
)
def test_what_is_not_data_is_refused_by_name(tree: Any, where: str) -> None:
    with pytest.raises(InputError, match=where.replace(".", r"\.")):
        statetree.pack(tree)


def test_torn_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    statetree.write(statetree.pack({"w": torch.zeros(1000)}), path)
    whole = path.read_bytes()
    for size in (0, 4, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="state file"):
            statetree.read(path)
    path.write_bytes(pickle.dumps({"w": 1}))
    with pytest.raises(InputError, match="not a crestfall state file"):
        statetree.read(path)
    header = json.dumps({"__metadata__": {"crestfall": "state-tree/9"}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match="state-tree/9"):
        statetree.read(path)
