"""Snapshots of weights and optimizer on disk: immutable directories, complete if and only if they hold DONE.

checkpoints/campaign-002-step-013/     snapshot.safetensors, DONE
checkpoints/last -> ..., best -> ..., handed_on -> ...          for people; crestfall itself goes by the state file
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import MissingExtraError, RunDirectoryError
from crestfall.core.types import Snapshot
from crestfall.store.files import sync, sync_directory, writing

_SNAPSHOT = "snapshot.safetensors"


class Checkpoints:
    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Write a snapshot under a new name (or again under an old one that no commit has named yet)."""
        temporary, final = self._root / f".{name}.tmp", self._root / name
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            try:
                for leftover in (temporary, final):
                    shutil.rmtree(leftover, ignore_errors=True)
                temporary.mkdir()
                _save(snapshot, temporary / _SNAPSHOT)
                sync(temporary / _SNAPSHOT)
                (temporary / "DONE").touch()
                sync_directory(temporary)
                temporary.rename(final)
            except OSError:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            sync_directory(self._root)

    def load(self, name: str) -> Snapshot:
        """Raises RunDirectoryError if the checkpoint is missing or incomplete."""
        directory = self._root / name
        if not (directory / "DONE").exists():
            raise RunDirectoryError(f"{directory}: the checkpoint to go on from is missing or incomplete")
        return _load(directory / _SNAPSHOT)

    def prune(self, keep: Collection[str]) -> None:
        """Delete every snapshot but these, and what crashed writers left."""
        if not self._root.exists():
            return
        for entry in self._root.iterdir():
            if entry.is_dir() and not entry.is_symlink() and entry.name not in keep:
                shutil.rmtree(entry, ignore_errors=True)

    def point(self, roles: Mapping[str, str]) -> None:
        """Make the links that tell people which snapshot is which."""
        with writing(self._root):
            for role, name in roles.items():
                link, temporary = self._root / role, self._root / f".{role}.link"
                if link.is_symlink() and os.readlink(link) == name:
                    continue
                temporary.unlink(missing_ok=True)
                temporary.symlink_to(name)
                temporary.replace(link)


def _save(snapshot: Snapshot, path: Path) -> None:
    framework = "np" if all(type(tensor).__module__ == "numpy" for tensor in snapshot.values()) else "pt"
    try:
        _module(framework).save_file(dict(snapshot), path, metadata={"framework": framework})
    except _safetensors().SafetensorError as error:
        # safetensors reports a failed write as an error of its own, with the number in its text.
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def _load(path: Path) -> Snapshot:
    try:
        with _safetensors().safe_open(path, "np") as file:
            framework = file.metadata()["framework"]
        snapshot: Snapshot = _module(framework).load_file(path)
    except (OSError, KeyError, TypeError, _safetensors().SafetensorError) as error:
        raise RunDirectoryError(f"{path}: not a snapshot of crestfall's: {error}") from error
    return snapshot


def _module(framework: str) -> Any:
    _safetensors()
    return importlib.import_module("safetensors.numpy" if framework == "np" else "safetensors.torch")


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors")
    except ImportError:
        raise MissingExtraError("safetensors", "train") from None
