"""The processes of one training run: rank 0 decides, the others are told.

Ranks may see different numbers (an evaluation on each shard, a non-deterministic kernel). What only rank 0 computes and
then broadcasts cannot come out differently on two of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from crestfall.core.errors import ConfigError, CrestfallError

T = TypeVar("T")

_CHUNK = 64 * 2**20
"""Bytes in one broadcast: large snapshots must not double what a device has to hold."""


class FirstRankError(CrestfallError, RuntimeError):
    """Rank 0 failed to decide; the other ranks raise this in its place."""


class Ranks(Protocol):
    rank: int
    size: int

    def broadcast(self, payload: bytes | None) -> bytes:
        """The bytes that rank 0 gives, on every rank. Collective: every rank has to call it."""
        ...

    def gather(self, payload: bytes) -> list[bytes]:
        """Values of all ranks, in their order, on rank 0; elsewhere an empty list. Collective."""
        ...


class Alone:
    """One process."""

    rank, size = 0, 1

    def broadcast(self, payload: bytes | None) -> bytes:
        assert payload is not None
        return payload

    def gather(self, payload: bytes) -> list[bytes]:
        return [payload]


class TorchRanks:
    """A `torch.distributed` process group (the default one where none is given)."""

    def __init__(self, group: Any = None) -> None:
        import torch
        import torch.distributed as dist

        self._dist, self._torch, self._group = dist, torch, group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self._source = dist.get_global_rank(group, 0) if group is not None else 0
        on_gpu = dist.get_backend(group) == "nccl"
        self._device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    def broadcast(self, payload: bytes | None) -> bytes:
        torch = self._torch
        length = torch.tensor([len(payload) if payload is not None else 0], device=self._device)
        self._dist.broadcast(length, self._source, group=self._group)
        out = bytearray(int(length))
        for start in range(0, len(out), _CHUNK):
            stop = min(start + _CHUNK, len(out))
            if self.rank == 0 and payload is not None:
                chunk = torch.frombuffer(bytearray(payload[start:stop]), dtype=torch.uint8).to(self._device)
            else:
                chunk = torch.empty(stop - start, dtype=torch.uint8, device=self._device)
            self._dist.broadcast(chunk, self._source, group=self._group)
            out[start:stop] = chunk.cpu().numpy().tobytes()
        return bytes(out)

    def gather(self, payload: bytes) -> list[bytes]:
        # One after the other: what the ranks have of their own is small as a rule, and this needs no second protocol.
        lengths = [0] * self.size
        self._dist.all_gather_object(lengths, len(payload), group=self._group)
        out = []
        for rank, length in enumerate(lengths):
            if rank == 0 or not length:
                out.append(payload if rank == 0 else b"")
            elif self.rank == rank:
                self._pass(payload, length, rank)
            elif self.rank == 0:
                out.append(self._pass(None, length, rank))
        return out if self.rank == 0 else []

    def _pass(self, payload: bytes | None, length: int, sender: int) -> bytes:
        """`length` bytes from `sender` to rank 0; called by these two."""
        torch, out = self._torch, bytearray()
        for start in range(0, length, _CHUNK):
            size = min(_CHUNK, length - start)
            if payload is not None:
                chunk = torch.frombuffer(bytearray(payload[start : start + size]), dtype=torch.uint8).to(self._device)
                self._dist.send(chunk, self._source, group=self._group)
            else:
                chunk = torch.empty(size, dtype=torch.uint8, device=self._device)
                origin = self._dist.get_global_rank(self._group, sender) if self._group is not None else sender
                self._dist.recv(chunk, origin, group=self._group)
                out += chunk.cpu().numpy().tobytes()
        return bytes(out)


def detect() -> Ranks:
    """The default process group if the process is in one of several ranks, else `Alone`."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return Alone()
    return TorchRanks() if torch.distributed.get_world_size() > 1 else Alone()


def shared(ranks: Ranks, value: Any) -> list[Any]:
    """JSON data of every rank, in their order, on every rank. Collective."""
    said = ranks.gather(json.dumps(value).encode())
    everybody: list[Any] = json.loads(ranks.broadcast(b"[" + b",".join(said) + b"]" if said else None))
    return everybody


def everywhere(ranks: Ranks, work: Callable[[], T]) -> T:
    """Result of `work`, which every rank does; an error on one is an error on all, so that none waits."""
    failure: Exception | None = None
    try:
        result = work()
    except Exception as error:
        failure = error
    said = shared(ranks, "" if failure is None else str(failure) or repr(failure))
    if failure is not None:
        raise failure
    if bad := [rank for rank, text in enumerate(said) if text]:
        raise ConfigError(f"rank {bad[0]}: {said[bad[0]]}")
    return result


def decided_by_first(ranks: Ranks, decide: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Result of `decide` on rank 0, on every rank. It is called on rank 0 alone; its result is plain JSON data.

    An error there is raised on every rank, so that none waits for a message that does not come.
    """
    if ranks.size == 1:
        return decide()
    failure: BaseException | None = None
    payload: bytes | None = None
    if ranks.rank == 0:
        try:
            payload = json.dumps({"result": decide()}, allow_nan=False).encode()
        except Exception as error:
            failure = error
            payload = json.dumps({"error": f"{type(error).__name__}: {error}"}).encode()
    message = json.loads(ranks.broadcast(payload))
    if failure is not None:
        raise failure
    if "error" in message:
        raise FirstRankError(f"rank 0: {message['error']}")
    result: dict[str, Any] = message["result"]
    return result
