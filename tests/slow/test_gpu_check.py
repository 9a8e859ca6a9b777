"""What a GPU will be asked, at a small size on a CPU: its minutes are not to be spent on typos."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from research.gpu_check.__main__ import main

pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

NEEDS = {"trl": "trl", "3B": "peft", "0.5B variants": "peft"}


def test_the_rehearsal_makes_every_check_and_finds_nothing_wrong(tmp_path: Path) -> None:
    assert main(["--rehearse", "--out", str(tmp_path), "--budget", "1200"]) == 0
    sections = {s["name"]: s for s in json.loads((tmp_path / "gpu.json").read_text())["sections"]}
    assert len(sections) == 9
    for name, section in sections.items():
        if section["status"] == "skipped":
            assert section["why"] == f"{NEEDS[name]} is not installed"
        else:
            assert section["status"] == "done", section["why"]
            assert section["rows"]
    written = (tmp_path / "gpu.md").read_text()
    assert all(f"## {name} (" in written for name in sections)


def test_a_check_that_fails_is_named_and_the_next_one_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from research.gpu_check import checks

    def broken(place: object, section: object) -> None:
        """Breaks."""
        raise ValueError("no kernel for this")

    def fine(place: object, section: object) -> None:
        """Is made."""

    made = [checks.Check("one", broken, 0), checks.Check("two", fine, 0), checks.Check("three", fine, 1e9)]
    monkeypatch.setattr(checks, "checks", lambda *_: made)
    assert main(["--rehearse", "--out", str(tmp_path)]) == 1
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert [s["status"] for s in sections] == ["failed", "done", "skipped"]
    assert sections[0]["why"] == "ValueError: no kernel for this"
