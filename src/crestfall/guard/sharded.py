"""Sharded tensors on disk: torch.distributed.checkpoint with its safetensors storage, so no pickle and any mesh.

Every rank writes its own shards from its guard's writer thread, without a word to the others (a collective in a thread
would meet the training loop's, and die with the process group); rank 0 waits until their files are there. All ranks
must see the same directory. Reading takes what a rank needs of every file, whatever mesh the run has now.
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import InputError, RunDirectoryError
from crestfall.store.files import sync
from crestfall.store.tensors import Shard

_PATIENCE = 1800.0
"""Seconds that rank 0 waits for the files of the others."""


def save(shards: Mapping[str, Shard], directory: Path, rank: int) -> None:
    """Write what this rank has of these tensors, as one file that appears whole."""
    dcp: Any = importlib.import_module("torch.distributed.checkpoint")

    state = {name: shard.offloaded() for name, shard in shards.items()}
    own = directory.with_name(f"{directory.name}.rank-{rank:05d}")
    writer = dcp.HuggingFaceStorageWriter(str(own), save_distributed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, on writing without the other processes
        dcp.save(state, storage_writer=writer, no_dist=True)
    directory.mkdir(parents=True, exist_ok=True)
    for file in own.glob("*.safetensors"):
        sync(file)
        file.rename(_file(directory, rank))
    own.rmdir()


def wait_for_all(directory: Path, processes: int, patience: float = _PATIENCE) -> None:
    """Until every rank has written. Raises RunDirectoryError if one has not in `patience` seconds."""
    end = time.monotonic() + patience
    while missing := [rank for rank in range(processes) if not _file(directory, rank).exists()]:
        if time.monotonic() > end:
            raise RunDirectoryError(
                f"{directory}: rank {missing[0]} has not written its shards; do all ranks see this directory?"
            )
        time.sleep(0.02)


def load(like: Mapping[str, Shard], directory: Path) -> dict[str, Shard]:
    """Read these tensors, sharded as `like` is.

    Raises:
        InputError: the directory has not all of them, or in another shape.
    """
    dcp: Any = importlib.import_module("torch.distributed.checkpoint")

    fresh = {name: shard.empty() for name, shard in like.items()}
    state = {name: shard.offloaded() for name, shard in fresh.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dcp.load(state, storage_reader=dcp.HuggingFaceStorageReader(str(directory)), no_dist=True)
    except Exception as error:  # whatever was met comes as torch's own collection of exceptions
        raise InputError(f"{directory}: cannot be read into the state as it is sharded now: {error}") from error
    return fresh


def _file(directory: Path, rank: int) -> Path:
    return directory / f"rank-{rank:05d}.safetensors"
