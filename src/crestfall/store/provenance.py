"""Provenance of a result: versions, the state of the sources, the machine. Holds no name of a person or host, and no
home path."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import crestfall

_PACKAGES = ("numpy", "scipy", "pydantic", "torch", "safetensors", "transformers", "peft", "accelerate", "trl", "ray")


def provenance(command: Sequence[str]) -> dict[str, Any]:
    """Provenance that costs little: nothing is imported to learn its version."""
    out: dict[str, Any] = {
        "crestfall": crestfall.__version__,
        "command": list(command),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpus": usable_cpus(),
        "memory_gib": _memory_gib(),
        "packages": _versions(),
    }
    commit = _git_commit(Path(crestfall.__file__).parent)
    return out if commit is None else out | {"git": commit}


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has affinities
        return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    out = {}
    for package in _PACKAGES:
        try:
            out[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def _git_commit(directory: Path) -> dict[str, Any] | None:
    """Commit of the checkout that the package runs from; None for an installed copy."""

    def git(*args: str) -> str:
        command = ["git", "-C", str(directory), *args]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if not git("ls-files", "__init__.py"):  # a checkout of something else around an installed copy
            return None
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
