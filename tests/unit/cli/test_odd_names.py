"""Names with characters that a terminal acts on are written out, wherever a command prints them."""

from __future__ import annotations

import json
import shlex
import subprocess
import unicodedata
from pathlib import Path

import pytest

from crestfall.cli.main import main
from crestfall.core.entry import UNEXPECTED

ODD = "a\x1b]0;x\x07\x1b[31m  b\u202e\x9b\r\x7f"
ACTS = {"Cc", "Cf", "Cs"}


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert {c for c in text if unicodedata.category(c) in ACTS} <= {"\n"}, text
    assert UNEXPECTED not in text
    return text


@pytest.mark.parametrize(
    "words",
    [
        "run ODD", "run small.yaml ODD=1", "run small.yaml --out small.yaml/ODD", "run small.yaml method=ODD --dry-run",
        "study ODD", "study study.yaml methods.ODD.seed=1", "status ODD", "report ODD", "report --out ODD",
        "list ODD", "list control ODD", "ODD", "run --ODD",
        "grade --problems ODD --samples ODD", "grade --problems p.jsonl --samples ODD",
        "grade --problems p.jsonl --samples s.jsonl --package ODD", "grade --problems p.jsonl --samples s.jsonl",
        "analyze ODD", "analyze log.csv --metric ODD", "analyze log.csv --fail-on ODD", "analyze log.csv",
        "analyze log.csv log.csv log.csv", "replay ODD --control crest", "replay log.csv --control ODD",
        "replay log.csv --control fixed", "watch ODD --once", "watch log.csv --once",
        "diff ODD log.csv", "evaluate tasks.path=ODD --out x", "bench ODD",
    ],
)  # fmt: skip
def test_no_command_prints_what_a_terminal_acts_on(
    words: str, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"step": i, ODD: i % 3 / 4, "kl": i / 9} for i in range(9)]
    (scratch / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (scratch / f"log{ODD}.csv").write_text("step,score\n0,0.1\n1,0.5\n2,0.4\n3,0.1\n4,0.1\n")
    (scratch / "p.jsonl").write_text(json.dumps({"task_id": ODD, "entry_point": "f", "tests": [[[1], 2]]}) + "\n")
    (scratch / "s.jsonl").write_text(json.dumps({"task_id": ODD, "solution": f"def f(x): return {ODD!r}"}) + "\n")
    command = [
        word.replace("ODD", ODD).replace("log.csv", f"log{ODD}.csv").replace("log.jsonl", "log.jsonl")
        for word in shlex.split(words)
    ]
    main(command)
    assert printed(capsys)


def test_a_run_in_an_oddly_named_directory(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run", "small.yaml"], ["study", "study.yaml"]):
        out = f"{words[0]}{ODD}"
        assert main([*words, "--out", out]) == 0
        for reader in (["status"], ["report"], ["analyze"], ["replay", "--control", "fixed"]):
            assert main([*reader, out]) == 0
        assert main([*words, "--out", out]) == 0
    said = printed(capsys)
    # What the last lines say to type next works in a shell.
    line = next(line for line in said.splitlines() if line.startswith("next "))
    script = f'set -- {line.removeprefix("next")}; printf %s "$3"'
    assert subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode() == f"run{ODD}"
