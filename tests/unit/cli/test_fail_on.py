"""`crestfall analyze --fail-on CLASS`: an exit code for CI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crestfall.cli.main import main


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    curves = {
        "flat": [0.6] * 20,
        "risen": [0.1 + 0.03 * i for i in range(20)],
        "fallen": [0.1 + 0.06 * i for i in range(10)] + [0.1] * 10,
    }
    for name, values in curves.items():
        rows = [{"step": i, "eval/acc": v} for i, v in enumerate(values)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "failed"),
    [
        (["--fail-on", "collapse"], 1, ["fallen"]),
        (["--fail-on", "decline,crash_and_recovery"], 0, []),
        (["--fail-on", "flat", "--fail-on", "rise"], 1, ["flat", "risen"]),
        ([], 0, None),
    ],
)
def test_a_class_decides(
    logs: Path, words: list[str], code: int, failed: list[str] | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyze", str(logs), "--samples", "480", *words, "--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out).get("failed") == failed
    assert ("--fail-on" in err) == bool(failed)


def test_an_unknown_class_is_one_line(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(logs), "--fail-on", "colapse"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "collapse" in err
