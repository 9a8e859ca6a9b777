"""Every bad word on the command line is one line that says where it comes from, exit code 2, and no file."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import fakes
from crestfall.cli.main import VERBS, main
from crestfall.core.entry import UNEXPECTED, guarded, one_line
from crestfall.core.errors import ConfigError
from crestfall.store import yaml

pytestmark = pytest.mark.usefixtures("scratch")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("study study.yaml methods={}", "methods={}: changes nothing"),
        ("study study.yaml methods.es.seed=3", "methods.es.seed"),
        ("study study.yaml methods.es.method=x", "methods.es.method"),
        ("study study.yaml control.name=fixd", "no control is called 'fixd'"),
        ("study study.yaml --workers -1", "--workers: expected a whole number from 1"),
        ("study study.yaml --workers 0", "--workers"),
        ("study study.yaml --gpus-per-cell nan", "--gpus-per-cell: expected a number"),
        ("study study.yaml --gpus-per-cell -1", "--gpus-per-cell: expected a number"),
        ("run small.yaml grader.packages=[no_such_package]", "'no_such_package' is not installed"),
        ("run small.yaml grader.cpu_seconds=1e300", "cpu_seconds"),
        ("run small.yaml grader.wall_seconds=.nan", "wall_seconds"),
        ("run small.yaml chain.campaigns=1000000000", "chain.campaigns"),
        ("run chain campaign.train=100000000", "command line over chain: campaign.train"),
        ("run chain campaign.train=60000 chain.campaigns=1", "problems of the train pool"),
        ("run chain campaign.train=1e8", "campaign.train"),
        ("run chain engine.threads=100000", "command line over chain: engine.threads"),
        ("run chain policy.max_tokens=0", "policy.max_tokens"),
        ("run chain policy.weights=/nope", "/nope: not the weights of a tiny policy"),
        ("run chain update.learning_rate=fast", "command line over chain: update.learning_rate"),
        ("run chain update.learning_rate=1e300", "expected a number below 1e+30"),
        ("run chain update=1", "command line over chain: update"),
        ("run small.yaml seed=[", "seed=["),
        ("run small.yaml 'seed={1: 2}'", "expected a word"),
        ("run small.yaml \"plugins=['']\"", "cannot import"),
        ("bench grader --programs -5", "--programs"),
        ("bench grader --duplicates nan", "--duplicates"),
        ("grade --problems p --samples s --repeat 0", "--repeat"),
        ("grade --problems p --samples s --wall-seconds 0", "--wall-seconds"),
        ("grade --problems p --samples s --package nope_x", "'nope_x' is not installed"),
        ("study study.yaml --executor local --gpus-per-cell 1 --dry-run", "--gpus-per-cell: local cells"),
        ("run small.yaml --out small.yaml/x --dry-run", "small.yaml"),
        ("status small.yaml", "small.yaml"),
        ("run ''", "an empty argument"),
        ("run small.yaml --out ''", "an empty argument"),
        ("run small.yaml --out=", "an empty argument"),
        ("analyze ''", "an empty argument"),
        ("analyze small.yaml --report ''", "an empty argument"),
        ("list control --schema", "--schema is for whole configurations"),
        ("report small.yaml", "small.yaml"),
    ],
)
def test_is_refused_in_one_line(words: str, message: str, scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(os.listdir(scratch))
    assert main(shlex.split(words)) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("crestfall: ")
    assert message in captured.err
    assert UNEXPECTED not in captured.err
    assert sorted(os.listdir(scratch)) == before


def test_a_report_replaces_no_file_of_the_run(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It did: the log was gone."""
    assert main(["run", "small.yaml", "--out", "r"]) == 0
    for name in ("r/events.jsonl", "r/run.json", "small.yaml"):
        before = Path(name).read_bytes()
        assert main(["report", "r", "--out", name]) == 2
        assert f"{name}: a file that is no HTML page" in capsys.readouterr().err
        assert Path(name).read_bytes() == before
    Path("empty").touch()
    for name in ("new.html", "new.html", "empty"):
        assert main(["report", "r", "--out", name]) == 0


def test_an_evaluation_that_cannot_begin_writes_nothing(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"task_id": "a", "prompt": "def f(x):\n", "entry_point": "f", "test": "def check(f):\n    assert f(1) == 2\n"}
    (scratch / "p.jsonl").write_text(json.dumps(row) + "\n")
    (scratch / "mine.txt").write_text("a note without a line end")
    before = sorted(scratch.rglob("*"))
    words = ["evaluate", "policy.name=tiny", "policy.weights=/nope", "tasks.name=humaneval", "tasks.path=p.jsonl"]
    for out in ("x.jsonl", "new/x.jsonl", "mine.txt", "p.jsonl"):
        assert main([*words, "--out", out]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert sorted(scratch.rglob("*")) == before
    assert (scratch / "mine.txt").read_text() == "a note without a line end"
    assert json.loads((scratch / "p.jsonl").read_text()) == row


def test_diff_with_a_study_takes_the_run_of_the_same_name_or_refuses(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "study.yaml", "--out", "s"]) == 0
    capsys.readouterr()
    for method in ("naive", "es"):
        assert main(["diff", f"s/cells/{method}/seed-0", "s", "--json"]) == 0
        runs = json.loads(capsys.readouterr().out)["runs"]
        assert runs
        assert all(run["a"]["name"] == run["b"]["name"] for run in runs)
    assert main(["run", "small.yaml", "method=other", "--out", "r"]) == 0
    capsys.readouterr()
    assert main(["diff", "r", "s"]) == 2
    assert "none of which is named as one of" in capsys.readouterr().err


def test_a_directory_that_is_refused_is_left_as_it_was(scratch: Path) -> None:
    (scratch / "mine").mkdir()
    (scratch / "mine" / "notes").touch()
    assert main(["study", "study.yaml", "--out", "s"]) == 0
    (scratch / "s" / "cells/naive/seed-0/.lock").unlink()
    before = sorted(scratch.rglob("*"))
    for out in ("mine", "s", "s/cells", "s/cells/naive/seed-0"):
        assert main(["run", "small.yaml", "--out", out]) == 2
    assert sorted(scratch.rglob("*")) == before


def test_a_loop_of_links_is_one_line(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scratch / "a").symlink_to("b")
    (scratch / "b").symlink_to("a")
    for words in (["analyze", "a"], ["status", "a"], ["report", "a"], ["run", "small.yaml", "--out", "a"]):
        assert main(words) == 2, words
        err = capsys.readouterr().err
        assert (err.count("\n"), UNEXPECTED in err) == (1, False), err


def test_what_is_wrong_in_the_file_is_blamed_on_the_file(scratch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scratch / "small.yaml").write_text(json.dumps(fakes.options(campaign={"stesp": 3})))
    assert main(["run", "small.yaml", "seed=3"]) == 2
    assert capsys.readouterr().err.startswith("crestfall: small.yaml: campaign.stesp")


def test_a_policy_that_cannot_read_the_problems_is_refused_by_a_dry_run_too(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {
            "task_id": i,
            "text": f"You are asked for {i}.",
            "code": f"def f():\n    return {i}",
            "test_list": [f"assert f() == {i}"],
        }
        for i in range(200)
    ]
    (scratch / "mbpp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sizes = {"train": 5, "select": 5, "report": 5, "problems_per_step": 5}
    small = " ".join(f"campaign.{name}={size}" for name, size in sizes.items()) + " chain.final=5 chain.campaigns=1"
    for extra in (["--dry-run"], []):
        assert main(["run", "chain", "tasks.name=mbpp", "tasks.path=mbpp.jsonl", *small.split(), *extra]) == 2
        assert "policy tiny reads the builtin problems and no other text: it has no word" in capsys.readouterr().err
    assert sorted(os.listdir(scratch)) == ["mbpp.jsonl", "small.yaml", "study.yaml"]


def test_a_folder_named_like_a_shipped_configuration_does_not_shadow_it(
    scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scratch / "quickstart").mkdir()
    assert main(["study", "quickstart", "--dry-run"]) == 0
    (scratch / "mine").mkdir()
    assert main(["run", "mine"]) == 2
    assert "mine: a directory, expected a YAML file" in capsys.readouterr().err


def test_crestfall_alone_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert all(verb in said for verb in VERBS)


@pytest.mark.parametrize(
    "text",
    [
        "a: *b",
        "&a [*a]",
        "a: !!python/object:os.system {}",
        "? [1]\n: 2",
        "a: !!binary aGk=",
        "a: " + "9" * 5000,
        "[" * 2000,
        "a: !!timestamp 2001-01-01",
        "x: &x [1]\ny: [*x, *x]\n1: 2",
        "\x00",
        "a:\tb:\tc",
        "%YAML 9.9\n---\na: 1",
        "a: !foo 1",
        # a billion laughs
        "\n".join(["- &a0 [1]", *(f"- &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10))]),
    ],
)
def test_odd_yaml_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml") as caught:
        yaml.parse(text, "f.yaml")
    assert "\n" not in str(caught.value)


# --- the way in ---


def test_an_extra_that_is_missing_names_the_command_that_installs_it() -> None:
    error = ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert one_line(error) == "torch is not installed: pip install 'crestfall[train]'"


WITHOUT_TORCH = """
import sys, importlib.abc
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch": raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing())
from crestfall.cli.main import main
print([main(words.split()) for words in sys.argv[1:]])
"""


def test_without_torch(scratch: Path) -> None:
    commands = ["run chain", "run chain --dry-run", "study quickstart", "bench step"]
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *commands], capture_output=True, text=True)
    missing = "crestfall: torch is not installed: pip install 'crestfall[train]'\n"
    assert (done.stdout, done.stderr) == ("[2, 2, 2, 2]\n", missing * 4)
    assert sorted(os.listdir(scratch)) == ["small.yaml", "study.yaml"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "f"), "f: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "output: the disk is full"),
        (MemoryError(), "out of memory"),
        (ConfigError("two\nlines"), "two lines"),
        (KeyError("x"), UNEXPECTED),
    ],
)
def test_what_else_goes_wrong(error: Exception, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise error

    assert guarded(fails) == 2
    assert said in capsys.readouterr().err


FULL = "crestfall: output: the disk is full\n"


@pytest.mark.parametrize("words", [["list"], ["--help"]])
def test_a_full_disk_behind_stdout(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "crestfall", *words]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    assert (done.returncode, done.stderr) == (2, FULL)


@pytest.mark.parametrize(
    "words", ["run small.yaml --dry-run", "list --json", "run --help", "--version", "--print-completion zsh"]
)
def test_whatever_is_printed(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with open("/dev/full", "w") as full, suppress(OSError):  # closing it fails, too
        monkeypatch.setattr(sys, "stdout", full)
        code = main(words.split())
    assert (code, capsys.readouterr().err) == (2, FULL)


def test_an_ascii_terminal(scratch: Path) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "crestfall", "run", "small.yaml", "--out", "größe"],
                          capture_output=True, text=True, env=env)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "pass@1" in done.stdout


# --- what a shell does to the streams, and files that are none ---


@pytest.mark.parametrize("how", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_result(how: str, scratch: Path) -> None:
    """Neither a traceback, nor anything of what is printed in a file of the run, which gets the stream's number."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = f"{shlex.quote(sys.executable)} -m crestfall run small.yaml --out r {how}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=env, cwd=scratch)
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (0, False)
    assert main(["run", "small.yaml", "--out", "whole"]) == 0
    kept = [[json.loads(line)["type"] for line in (scratch / out / "events.jsonl").open()] for out in ("r", "whole")]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("words", [["run", "/dev/zero"], ["analyze", "/dev/zero"], ["analyze", "/dev/urandom"],
                                   ["grade", "--problems", "/dev/zero", "--samples", "/dev/zero"]])  # fmt: skip
def test_a_device_that_never_ends_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "a device that never ends" in capsys.readouterr().err
