"""What people imported from 0.1 is the same object under its new name."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

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


def test_the_reference_page_names_what_is_public() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference.md").read_text()
    table = page.split("| name |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))) == set(
        crestfall.__all__
    )
    for modules in re.findall(r"`(crestfall\.[\w.]+(?:\{[^}]*\}|\w*))`", page.split("## Modules")[1].split("## ")[0]):
        base, _, several = modules.partition("{")
        for name in several.rstrip("}").split(", "):
            importlib.import_module(base + name)


def test_a_name_that_never_was_is_no_module() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("crestfall.integration")
