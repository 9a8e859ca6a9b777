"""Snapshots of weights and optimizer on disk: immutable directories, complete if and only if they hold DONE.

A snapshot is known by the SHA-256 of its file, which the state file keeps: a byte that has changed, or another step's
snapshot in its place, is noticed.

checkpoints/campaign-002-step-013/     snapshot.safetensors, DONE
checkpoints/last -> ..., best -> ..., handed_on -> ...          for people; crestfall itself goes by the state file
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from crestfall.core.errors import MissingExtraError, RunDirectoryError
from crestfall.core.types import Snapshot
from crestfall.store.files import sync, sync_directory, writing
from crestfall.store.layout import DONE_FILE, SNAPSHOT_FILE

# The names that this package gives to snapshots, and to what a crashed writer leaves: nothing else is ever deleted.
_OURS = re.compile(r"campaign-\d+-(step-\d+(-rolled-back)?|handed-on)|base|start|\..+\.tmp")


class Checkpoints:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._saved: set[str] = set()

    def save(self, name: str, snapshot: Snapshot) -> str:
        """Write a snapshot under a new name (or again under an old one that no commit has named yet). Returns its
        digest."""
        temporary, final = self._root / f".{name}.tmp", self._root / name
        with writing(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            try:
                for leftover in (temporary, final):
                    shutil.rmtree(leftover, ignore_errors=True)
                temporary.mkdir()
                _save(snapshot, temporary / SNAPSHOT_FILE)
                sync(temporary / SNAPSHOT_FILE)
                digest = _digest(temporary / SNAPSHOT_FILE)
                (temporary / DONE_FILE).touch()
                sync_directory(temporary)
                temporary.rename(final)
            except OSError:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            sync_directory(self._root)
        self._saved.add(name)
        return digest

    def verify(self, name: str, digest: str | None) -> None:
        """Raises RunDirectoryError if a snapshot is missing, incomplete, or not the one that has this digest (None: a
        snapshot of a version that kept no digests)."""
        file = self._complete(name)
        try:
            found = _digest(file) if digest is not None else None
        except OSError as error:
            raise RunDirectoryError(f"{file}: cannot be read: {error.strerror or error}") from None
        if found != digest:
            raise RunDirectoryError(
                f"{file}: is not the snapshot that was saved there (its SHA-256 differs): restore it, or start again "
                f"with --out elsewhere"
            )

    def load(self, name: str) -> Snapshot:
        """Raises RunDirectoryError if the snapshot is missing or incomplete."""
        return _load(self._complete(name))

    def _complete(self, name: str) -> Path:
        directory = self._root / name
        if not (directory / DONE_FILE).exists():
            raise RunDirectoryError(
                f"{directory}: the snapshot to continue from is missing or incomplete: restore it, or start again with "
                f"--out elsewhere"
            )
        return directory / SNAPSHOT_FILE

    def only_begun(self) -> bool:
        """Whether the directory holds no part of a campaign: only files that a chain saves before its first commit."""
        return not self._root.exists() or not any(self._root.glob("campaign-*"))

    def prune(self, keep: Collection[str]) -> None:
        """Delete every snapshot but these, and what crashed writers left. A directory of any other name is somebody
        else's."""
        if not self._root.exists():
            return
        for entry in self._root.iterdir():
            ours = entry.name in self._saved or _OURS.fullmatch(entry.name)
            if ours and entry.name not in keep and entry.is_dir() and not entry.is_symlink():
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


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save(snapshot: Snapshot, path: Path) -> None:
    tensors = dict(flat(snapshot))
    framework = "np" if all(type(tensor).__module__ == "numpy" for tensor in tensors.values()) else "pt"
    try:
        _module(framework).save_file(tensors, path, metadata={"framework": framework})
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
        tensors: dict[str, Any] = _module(framework).load_file(path)
    except (OSError, KeyError, TypeError, _safetensors().SafetensorError) as error:
        raise RunDirectoryError(f"{path}: not a snapshot of crestfall's: {error}") from error
    return _nested(tensors)


def flat(snapshot: Snapshot, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`section/name` and the tensor, of all sections."""
    for name, value in snapshot.items():
        if "/" in name:
            raise ValueError(f"{prefix}{name}: a snapshot cannot hold a tensor whose name has a slash")
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value


def _nested(tensors: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for path, tensor in tensors.items():
        *sections, name = path.split("/")
        section = out
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = tensor
    return out


def _module(framework: str) -> Any:
    _safetensors()
    return importlib.import_module("safetensors.numpy" if framework == "np" else "safetensors.torch")


def _safetensors() -> Any:
    try:
        return importlib.import_module("safetensors")
    except ImportError:
        raise MissingExtraError("safetensors", "train") from None
