from __future__ import annotations

import json
from pathlib import Path

import pytest

import fakes


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a run's and a study's configuration."""
    methods = {"naive": {}, "es": {"control": {"name": "early_stop"}}}
    (tmp_path / "small.yaml").write_text(json.dumps(fakes.options()))
    (tmp_path / "study.yaml").write_text(json.dumps(fakes.options(seeds=[0], methods=methods)))
    monkeypatch.chdir(tmp_path)
    return tmp_path
