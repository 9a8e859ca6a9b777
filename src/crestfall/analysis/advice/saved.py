"""Checkpoints that a trainer left beside its log, found by the names that trainers give them.

A checkpoint counts when it holds weights: a folder in which only `trainer_state.json` is left is none, and what a
trainer is still writing (`tmp-checkpoint-20`) has another name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from crestfall.core.signals import word_set
from crestfall.store.jsonl import lines_of, objects
from crestfall.store.layout import CHECKPOINTS, DONE_FILE, SNAPSHOT_FILE, is_run

NAMES: tuple[tuple[str, str], ...] = (
    (r"checkpoint[-_](\d+)", "Hugging Face (TRL, ms-swift, LLaMA-Factory, Unsloth)"),
    (r"global_?step[-_]?(\d+)(?:_hf)?", "verl, OpenRLHF, SkyRL"),
    (r"(?:.*_)?step[-_=]?(\d+)(?:_hf)?", "prime-rl, torchtune, NeMo-RL, open-instruct"),
    (r".*global_?step[-_=]?(\d+).*", "AReaL (epoch0epochstep19globalstep19)"),
    (r".*\bstep[-_=](\d+)(?:-v\d+|-last)?", "Lightning (epoch=1-step=200.ckpt)"),
    (r"iter_?(\d+)", "Megatron, slime"),
    (r".*_(\d+)_steps", "stable-baselines3"),
    (r"\d+-step-(\d+)", "the guard's snapshots"),
)
"""Names of checkpoints without their suffixes, and who gives them. The first group is the step."""

_PATTERNS = tuple(re.compile(pattern, re.IGNORECASE) for pattern, _ in NAMES)
_OURS = re.compile(r"campaign-(\d+)-step-(\d+)")
_WEIGHTS = word_set(
    ".safetensors .bin .pt .pth .ckpt .distcp .zip .npz .npy .msgpack .gguf .h5 .pkl .tar .model .params .orbax"
)
_DIGIT = re.compile(r"\d")
_FILES = word_set(".ckpt .pt .pth .zip .safetensors .tar .bin")
"""Suffixes of checkpoints that are a file."""
_UNDER_WAY = re.compile(r"(^|[-_.])(tmp|temp|partial|incomplete)([-_.]|$)|^\.", re.IGNORECASE)
_PLACES = (
    "checkpoints",
    "checkpoint",
    "ckpt",
    "ckpts",
    "weights",
    "models",
    "output",
    "outputs",
    "results",
    "_crestfall",
)
"""Folders that are looked into beside a folder above the log's own."""
_PARTS = word_set("actor critic _actor _critic policy value trainer snapshots hf") | {*_PLACES}
"""Folders between a run's and its checkpoints: they tell no runs apart, and neither do numbers."""
UP = 3
"""Number of parent folders of the log to search: `output/runs/NAME/events...` belongs to `output`."""
DOWN = 4
"""Number of levels to search below them: `weights/step_20`, `_crestfall/01/snapshots/000003-step-20`."""
MOST_NAMED = 4
"""Runs that are named where it is not told which is the log's."""
FEW_LOGS = 2
"""Other logs of the same kind in a folder, from which on it is shared."""
MOST_ENTRIES = 20_000
"""Folders and files looked at before the search ends: a log may lie in somebody's home."""


@dataclass(frozen=True, order=True)
class Saved:
    """Weights of one step of a run. `path`: a folder or a file, or where a service keeps them (`tinker://...`)."""

    step: int
    path: Path | str


@dataclass(frozen=True)
class Found:
    """Checkpoints found, in order of steps, each once. `note`: why none is named although some are there."""

    saved: tuple[Saved, ...] = ()
    note: str = ""


def saved_beside(source: Path, campaign: int | None = None) -> Found:
    """The checkpoints of the run that `source` (a log, or a folder of logs) tells of.

    The nearest folder, from the log's own upwards, that holds any is the run's. Checkpoints of several runs are told
    apart by the log's name, or not at all. `campaign`: of one of our run directories.
    """
    if not source.exists():
        return Found()
    if is_run(source):
        return Found(tuple(_ours(source / CHECKPOINTS, campaign)))
    folder = (source if source.is_dir() else source.parent).resolve()
    if remote := _remote(folder / "checkpoints.jsonl"):
        return Found(tuple(remote))
    if _step(folder.name, True) is not None:
        folder = folder.parent  # the log lies in a checkpoint, as trainer_state.json does
    hollow: list[Saved] = []
    for level, place in enumerate([folder, *folder.parents][: UP + 1]):
        if level and place in (Path.home(), place.parent):
            break
        # Above its own folder a log has neighbours: only what stands right there, or in a folder for checkpoints.
        named = list(_below(place, 1 if level else DOWN))
        if not named and level:
            named = [saved for name in _PLACES for saved in _below(place / name, DOWN)]
        if found := [saved for saved in named if _holds_weights(Path(saved.path))]:
            return _of_one_run(found, place, source)
        hollow += named
    if hollow:
        first = min(hollow, key=lambda saved: saved.step)
        return Found(note=f"no weights are left in {first.path} ({len(hollow)} such folders)")
    return Found()


def _of_one_run(found: list[Saved], root: Path, source: Path) -> Found:
    by_run: dict[str, list[Saved]] = {}
    for saved in found:
        by_run.setdefault(_run_of(Path(saved.path).relative_to(root)), []).append(saved)
    named = {source.stem.lower(), source.parent.name.lower(), source.name.lower()}
    ours = next((run for run in by_run if run.lower() in named), None)
    ours = "" if ours is None and "" in by_run else ours  # those that stand right there
    if ours is None and len(by_run) == 1 and not _is_shared(source):
        ours = next(iter(by_run))
    if ours is not None:
        return Found(tuple(_one_a_step(by_run[ours])))
    if len(by_run) > MOST_NAMED:
        return Found()  # a folder for everything: none of it need be this log's
    runs = "a run" if len(by_run) == 1 else f"{len(by_run)} runs"
    some = ", ".join(sorted(by_run))
    return Found(note=f"checkpoints of {runs} lie in {root} ({some}): which are of this log is unclear")


def _is_shared(source: Path) -> bool:
    """Whether other logs lie beside a log, so that a run's folder there need not be its own."""
    alike = (path for path in source.parent.glob(f"*{source.suffix}") if path.is_file() and path != source)
    return source.is_file() and len(list(islice(alike, FEW_LOGS))) == FEW_LOGS


def _remote(log: Path) -> list[Saved]:
    """Tinker's, which lie with its service: a line per checkpoint with its batch and paths."""
    found = []
    for _, row in objects(lines_of(log.read_bytes()), log, growing=True) if log.is_file() else ():
        path = row.get("sampler_path") or row.get("state_path")
        if isinstance(path, str) and isinstance(row.get("batch"), int):
            found.append(Saved(row["batch"], path))
    return _one_a_step(found)


def _run_of(path: Path) -> str:
    """The last folder on the way to a checkpoint that names a run; empty where none does."""
    names = [name for name in path.parts[:-1] if name.lower() not in _PARTS and not name.isdigit()]
    return names[-1] if names else ""


def _below(root: Path, depth: int) -> Iterator[Saved]:
    """Checkpoints below `root`, down to `depth` levels; the search does not enter a checkpoint."""
    budget = MOST_ENTRIES
    waiting = [(root, depth)]
    while waiting and budget > 0:
        folder, left = waiting.pop(0)
        try:
            checkpoints, folders, count = _listed(folder, folder.stat().st_mtime_ns)
        except OSError:
            continue
        budget -= count
        yield from checkpoints
        waiting += [(below, left - 1) for below in folders if left > 1]


@lru_cache(maxsize=1024)
def _listed(folder: Path, changed: int) -> tuple[list[Saved], list[Path], int]:
    """Checkpoints right in a folder, other folders in it, and how many entries it has. `changed`: when it did, for the
    cache: each of two hundred logs in one folder asks for the same list."""
    checkpoints, folders = [], []
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        step = _step(entry.name, entry.is_dir())
        if step is not None:
            checkpoints.append(Saved(step, Path(folder, entry.name)))
        elif entry.is_dir(follow_symlinks=False) and not (_UNDER_WAY.search(entry.name) or is_run(Path(entry.path))):
            folders.append(Path(folder, entry.name))
    return checkpoints, folders, len(entries)


@lru_cache(maxsize=65536)
def _step(name: str, is_folder: bool) -> int | None:
    """The step that a checkpoint of this name is of; None: it is no checkpoint's name."""
    if not _DIGIT.search(name) or _UNDER_WAY.search(name):
        return None
    if not is_folder:
        name, suffix = os.path.splitext(name)
        if suffix.lower() not in _FILES:
            return None
    match = next((m for pattern in _PATTERNS if (m := pattern.fullmatch(name))), None)
    return None if match is None or len(match[1]) > 15 else int(match[1])


def _holds_weights(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix.lower() in _FILES
    looked = 0
    for _, _, files in os.walk(path):
        if any(Path(name).suffix.lower() in _WEIGHTS for name in files):
            return True
        looked += len(files)
        if looked > MOST_ENTRIES:
            break
    return False


def _one_a_step(found: list[Saved]) -> list[Saved]:
    """One checkpoint per step. Of several (actor and critic, weights and their Hugging Face export) the shortest path
    counts: the folder that holds both, else the first by name."""
    best: dict[int, Saved] = {}
    for saved in sorted(found, key=lambda s: (s.step, len(Path(s.path).parts), str(s.path))):
        best.setdefault(saved.step, saved)
    return list(best.values())


def _ours(checkpoints: Path, campaign: int | None) -> list[Saved]:
    found = []
    for path in sorted(checkpoints.glob("campaign-*-step-*")):
        match = _OURS.fullmatch(path.name)
        whole = path.joinpath(DONE_FILE).is_file() and path.joinpath(SNAPSHOT_FILE).is_file()
        if match and whole and campaign in (None, int(match[1])):
            found.append(Saved(int(match[2]), path))
    return found
