"""Modules by the names that they had in 0.1: `from crestfall.integrations.rewards import trl_reward` still works."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Longest prefix first: `integrations.importers` went elsewhere than the rest of `integrations`.
_MOVED = {
    **{f"integrations.guard_{name}": f"guard.{name}" for name in ("history", "journal", "snapshots", "state")},
    "integrations.guard": "guard.guard",
    "integrations.importers.keys": "core.signals",
    "integrations.importers": "analysis.importers",
    "integrations.ranks": "guard.ranks",
    "integrations": "guard",
    "grading.passk": "core.passk",
    "tasks.formats": "grading.problems.formats",
    "tasks.rows": "store.rows",
    "policies.evaluate": "testbed.evaluate",
    "capability": "control.capability",
    "care": "control.care",
    "io": "store",
    "replay": "analysis.replay",
    "sinks": "report.live",
    **{name: f"core.{name}" for name in ("types", "errors", "rng", "signals", "registry", "build")},
    **{name: f"testbed.{name}" for name in ("config", "campaign", "chain", "session", "study", "cost", "overlay")},
    **{name: f"testbed.{name}" for name in ("tasks", "policies", "updates", "engines", "executors", "slices")},
}


def new_name(name: str) -> str | None:
    """New name of the module `crestfall.X` of 0.1; None if it has not moved."""
    old = name.removeprefix("crestfall.")
    for prefix, new in _MOVED.items():
        if old == prefix or old.startswith(f"{prefix}."):
            return f"crestfall.{new}{old.removeprefix(prefix)}"
    return None


class _Moved:
    """One module under two names, never two copies of it: classes compare equal whichever name they came by."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        loader: Any = self  # a Loader in all but name: `importlib.abc` would cost every start 40 ms
        known = fullname.startswith("crestfall.") and new_name(fullname) is not None
        return ModuleSpec(fullname, loader) if known else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = new_name(spec.name)
        assert new is not None
        warnings.warn(f"{spec.name} is now {new}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the module's own spec, which the import system replaced; the module has run before."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """First in line: below a moved package, Python would find the new file and load it a second time."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())
