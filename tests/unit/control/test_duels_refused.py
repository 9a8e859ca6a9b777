"""Whoever holds scores alone cannot run a controller that fights duels, and says so."""

from __future__ import annotations

import pytest

from crestfall import Guard
from crestfall.cli.main import main
from crestfall.core.errors import ConfigError


def test_a_guard_refuses(tmp_path) -> None:
    with pytest.raises(ConfigError, match="control 'crest2' evaluates earlier weights"):
        Guard(tmp_path, control="crest2", state={})


@pytest.mark.parametrize("verb", ["replay", "watch"])
def test_a_log_cannot_be_asked(verb: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,score\n" + "".join(f"{i},{0.5 + i / 100}\n" for i in range(12)))
    assert main([verb, str(log), "--control", "crest2"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "crest2" in error
    assert "crest'" in error
