"""What every importer keeps: it claims its own files, reads them, and refuses what is broken in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from crestfall.analysis.importers.base import Importer
from crestfall.analysis.importers.load import importer_of
from crestfall.core.errors import InputError
from crestfall.core.registry import components

LOGS = Path(__file__).parent.parent / "golden" / "logs"
FILES = sorted(p for p in LOGS.rglob("*") if p.is_file() and p.name not in ("meta.yaml", "mlflow.runName"))
IMPORTERS = components("importer")
# Written by the test that needs it, or in a binary format that golden files do not hold.
WITHOUT_FILE = {"tensorboard", "wandb", "swanlab", "sqlite", "arrays"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LOGS)))
def test_some_importer_claims_each_file(path: Path) -> None:
    assert importer_of(path) is not None


@pytest.mark.parametrize("name", sorted(IMPORTERS.keys() - WITHOUT_FILE))
def test_every_importer_has_a_golden_file(name: str) -> None:
    importer: Importer = IMPORTERS[name]()
    mine = [p for p in FILES if (chosen := importer_of(p)) is not None and chosen.name == name]
    assert mine
    for path in mine:
        (history, *_) = importer.read([path])
        assert history.columns
        assert history.name
        assert importer.group(path) == importer.group(path)


@pytest.mark.parametrize("name", sorted(IMPORTERS))
@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"{", b"[]", b"null\n", b'{"log_history": 3}'])
def test_rubbish_is_not_claimed_or_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    importer: Importer = IMPORTERS[name]()
    for file in ("x.json", "trainer_state.json", "x.jsonl", "x.csv", "step_1.metrics.json", "x.log"):
        path = tmp_path / file
        path.write_bytes(content)
        if not importer.claims(path, content):
            continue
        refusal, histories = None, []
        try:
            histories = importer.read([path])
        except InputError as error:
            refusal = str(error)
        assert not any(h.columns for h in histories)
        if refusal is not None:
            assert str(path) in refusal
            assert "\n" not in refusal


@pytest.mark.parametrize("name", sorted(IMPORTERS))
def test_frozen_and_documented(name: str) -> None:
    cls = IMPORTERS[name]
    assert cls.__dataclass_params__.frozen
    assert dataclasses.fields(cls) == ()
    assert cls.__doc__
    assert not cls.__doc__.startswith(cls.__name__ + "(")
