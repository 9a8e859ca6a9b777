"""What people imported from 0.1 is the same object under its new name."""

from __future__ import annotations

import importlib
import sys

import pytest

import crestfall

OLD = [
    ("crestfall.integrations.rewards", "crestfall.guard.rewards"),
    ("crestfall.integrations.guard_state", "crestfall.guard.state"),
    ("crestfall.integrations.importers.load", "crestfall.analysis.importers.load"),
    ("crestfall.grading.passk", "crestfall.core.passk"),
    ("crestfall.registry", "crestfall.core.registry"),
    ("crestfall.sinks.alerts", "crestfall.report.live.alerts"),
    ("crestfall.tasks.rows", "crestfall.store.rows"),
    ("crestfall.updates.base", "crestfall.testbed.updates.base"),
]


@pytest.mark.parametrize(("old", "new"), OLD)
def test_an_old_name_is_the_new_module(old: str, new: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(new)
    assert module.__spec__.name == new


def test_what_is_public_is_there() -> None:
    for name in crestfall.__all__:
        assert getattr(crestfall, name).__name__ == name


def test_a_name_that_never_was_is_no_module() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("crestfall.integration")
