"""Measure what a guard's snapshot costs a training loop: `python -m research.guard_cost [--millions 100] [--rounds 7]`.

Every round measures, one right after the other, so that load from elsewhere falls on all alike: `observe` with a new
best (the loop waits for it), the same bytes copied by one `copy_` per tensor into memory that is there already (the
least that any copy costs), `observe` without a new best, and going back. The file is written between rounds, outside
the times. Peak memory is that of the process above the training state.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from crestfall import Guard
from crestfall.core.entry import guarded, script_parser

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0."""
    parser = script_parser("research.guard_cost", __doc__)
    parser.add_argument("--millions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args(argv)
    import torch
    from torch import nn

    torch.set_num_threads(1)
    layers = max(1, round(args.millions * 1e6 / WIDTH**2))
    model = nn.ModuleList([nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers)])
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, foreach=False)
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 1e-3)
    adam.step()
    adam.zero_grad()
    tensors = [t for p in model.parameters() for t in (p.detach(), *adam.state[p].values()) if t.numel() > 1]
    state = sum(t.numel() * t.element_size() for t in tensors)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), {"model": model, "optimizer": adam}, tensors, state, args.rounds)
    return 0


def measure(folder: Path, state: dict[str, object], tensors: list[Tensor], size: int, rounds: int) -> None:
    """Print the table."""
    seconds: dict[str, list[float]] = {}
    there = [t.clone() for t in tensors]
    base = resident()
    guard = Guard(folder / "guard", control={"name": "early_stop", "then": "go_on", "margin": 1}, state=state)

    def timed(name: str, call: Callable[[], object]) -> None:
        start = time.perf_counter()
        call()
        seconds.setdefault(name, []).append(time.perf_counter() - start)

    def copy() -> None:
        for old, new in zip(there, tensors, strict=True):
            old.copy_(new)

    with Peak() as peak:
        for i in range(rounds + 1):
            timed("observe, new best", partial(guard.observe, 2 * i, select=0.1 + 0.01 * i))
            timed("memcpy of the same bytes", copy)
            guard.flush()
            timed("observe, no new best", partial(guard.observe, 2 * i + 1, select=0.05))
            timed("carry_out, rollback", partial(guard.carry_out, guard.decision))
    guard.close()
    ratios = [a / b for a, b in zip(seconds["observe, new best"], seconds["memcpy of the same bytes"], strict=True)]
    print(f"state {size / 1e9:.2f} GB, {rounds} rounds after one to warm up, one thread")
    for name, values in seconds.items():
        print(
            f"{name:28s} median {statistics.median(values[1:]):.3f} s, {min(values[1:]):.3f} to {max(values[1:]):.3f}"
        )
    print(f"a new best / a memcpy: median {statistics.median(ratios[1:]):.2f}, least {min(ratios[1:]):.2f}")
    print(f"peak host memory above training and the memcpy's target: {(peak.seen - base) / size:.2f} x the state")


def resident() -> int:
    """Bytes of this process that are in memory (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Peak:
    """The largest resident size of this process while the block lasts."""

    def __init__(self) -> None:
        self.seen, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self.seen = max(self.seen, resident())

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


if __name__ == "__main__":
    sys.exit(guarded(main))
