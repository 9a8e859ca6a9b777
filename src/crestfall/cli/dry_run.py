"""Output of `--dry-run`: the runs, and an upper bound on their cost. Runs nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from crestfall.cli.common import say
from crestfall.core.build import plain
from crestfall.store.files import check_writable, digest
from crestfall.testbed.config import RunConfig
from crestfall.testbed.cost import Footprint, Memory, footprint, total


def dry_run(console: Console, out: Path, cells: Mapping[str, RunConfig], workers: int = 1) -> dict[str, Any]:
    """Say the cost of these cells, `workers` at a time; return it for `--json`."""
    check_writable(out)
    cost, prints = total(cells.values()), _footprints(cells.values())
    known = [found for found in prints if found.memory is not None]
    largest = max(known, key=lambda found: found.memory.peak if found.memory else 0, default=None)
    disk = sum(found.disk_bytes for found in prints)
    say(console, f"{cost.cells} {'cell' if cost.cells == 1 else 'cells'}: {', '.join(cells)}")
    say(console, f"at most {cost.steps:,} steps, {cost.train_samples:,} training samples")
    say(console, f"at most {cost.eval_samples:,} evaluation samples")
    say(console, f"at most {cost.tokens:,} tokens to sample, if every completion were as long as it may be")
    say(console, f"at most {cost.grades:,} programs to grade (equal ones are run once)")
    for reason in sorted({found.unknown for found in prints if found.unknown}):
        say(console, f"memory and checkpoints: not known ({reason})")
    if largest is not None and largest.memory is not None:
        _say_memory(console, largest.parameters, largest.memory, min(workers, len(cells)))
        if any(config.engine.name != "native" for config in cells.values()):
            say(console, "  that is engine native on one device; engine trl needs it in every process")
    checkpoints = f"checkpoints at most {_bytes(disk)}, " if known else ""
    say(console, f"disk in {out}: {checkpoints}events about {_bytes(int(cost.event_mb * 1e6))}")
    memory = largest.memory.to_json() if largest is not None and largest.memory is not None else None
    result = asdict(cost) | {"cells": list(cells), "memory": memory, "checkpoint_bytes": disk if known else None}
    return {"out": str(out), "dry_run": result}


def _footprints(configs: Any) -> list[Footprint]:
    """Memory footprint of each cell, computed once for cells with the same relevant options."""
    found: dict[str, Footprint] = {}
    out = []
    for config in configs:
        key = digest([plain(part) for part in (config.policy, config.campaign, config.chain, config.update)])
        if key not in found:
            found[key] = footprint(config)
        out.append(found[key])
    return out


def _say_memory(console: Console, parameters: int, memory: Memory, at_a_time: int) -> None:
    beside = f", {at_a_time} cells at a time" if at_a_time > 1 else ""
    say(console, f"memory of a cell: at most about {_bytes(memory.peak)}{beside}")
    say(
        console,
        f"  always: weights {_bytes(memory.weights)} ({parameters:,} parameters), "
        f"gradients {_bytes(memory.gradients)}, Adam {_bytes(memory.adam)}, reference copies {_bytes(memory.copies)}",
    )
    say(
        console,
        f"  in turns: sampling (KV cache {_bytes(memory.kv_cache)}) or training (activations, by a rule of thumb, "
        f"{_bytes(memory.activations)}), each with logits ({_bytes(memory.logits)}), "
        f"or saving ({_bytes(memory.snapshot)})",
    )


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
