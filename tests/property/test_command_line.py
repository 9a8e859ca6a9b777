"""Configurations and command lines made from the options' own types and checks, and from odd files: each is refused in
one line, with exit code 2, or a dry run; never a traceback, never a file."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import fakes
from crestfall.cli.main import VERBS, main, parser
from crestfall.core.build import Option, options
from crestfall.core.entry import UNEXPECTED
from crestfall.core.registry import components
from crestfall.grading.limits import Limits
from crestfall.testbed.config import CampaignConfig, ChainConfig, RunConfig

_KINDS = ("tasks", "policy", "update", "control", "care", "engine")
_NUMBERS = [
    "0",
    "-1",
    "1",
    "2",
    "3",
    "7",
    "0.5",
    "1e300",
    "-1e300",
    "1e-300",
    ".nan",
    ".inf",
    "1e999",
    "100000000",
    "9" * 400,
]
_ODD = ["", "null", "true", "no", "[]", "{}", "[1]", "[[]]", "{a: 1}", "{name: x}", "'", "[", "~", "a b", "*x", "&x 1"]
_ODD += ["!!int x", "\u202e", "\x00", "\udcff", "x" * 300, "é", "2001-01-01", "[null]", "{1: 2}", "{[1]: 2}"]
_ODD += ["/nope", ".", "/", "/dev/null"]


def _sections() -> list[tuple[str, list[Option]]]:
    found = [("", options(RunConfig)), ("campaign", options(CampaignConfig)), ("chain", options(ChainConfig))]
    found.append(("grader", options(Limits)))
    for kind in _KINDS:
        for name, cls in components(kind).items():
            if not name.startswith("fake"):
                found.append((f"{kind} {name}", options(cls)))
    return found


SECTIONS = _sections()


def _values(option: Option) -> st.SearchStrategy[str]:
    """Values of the option's own type, at and beyond its bounds, and others."""
    own: list[str] = []
    own += [literal.strip("'") for literal in re.findall(r"'[^']*'", option.type)]
    for bound in re.findall(r"(?:>=|<=|>|<) (-?[\d.e+]+)", option.type):
        own += [bound, f"-{bound}", bound + "0"]
    if "bool" in option.type:
        own += ["true", "false"]
    if option.default is not None:
        with contextlib.suppress(ValueError):
            own.append(json.dumps(option.default))
    return st.sampled_from(own + own + _NUMBERS + _ODD)


@st.composite
def words(draw: st.DrawFn, prefix: str = "") -> list[str]:
    """`key=value` words of one section; a component is named first, most of the time."""
    section, known = draw(st.sampled_from(SECTIONS))
    kind, _, name = section.partition(" ")
    out = [f"{prefix}{kind}.name={name}"] if name and draw(st.booleans()) else []
    for option in draw(st.lists(st.sampled_from(known), max_size=3)) if known else []:
        key = ".".join(filter(None, (kind, option.name)))
        key += draw(st.sampled_from(["", "", "", "", "", "x", ".x", "..", ".name"]))
        out.append(f"{prefix}{key}={draw(_values(option))}")
    return out


@st.composite
def trainings(draw: st.DrawFn) -> list[str]:
    verb, config = draw(
        st.sampled_from([("run", "chain"), ("run", "small.yaml"), ("study", "quickstart"), ("study", "study.yaml")])
    )
    prefixes = [""] if verb == "run" else ["", "", "methods.es.", "methods.naive.", "methods."]
    chosen = [
        word
        for prefix in draw(st.lists(st.sampled_from(prefixes), min_size=1, max_size=2))
        for word in draw(words(prefix))
    ]
    flags = draw(st.lists(st.sampled_from(_flags(verb)), max_size=2))
    return [verb, config, *chosen, *(word for flag in flags for word in flag), "--dry-run"]


def _flags(verb: str) -> list[list[str]]:
    both = [
        ["--json"],
        ["seeds=[0,0]"],
        ["--ot", "x"],
        *(["--out", out] for out in ("small.yaml", "/proc/x", "", "new")),
    ]
    if verb == "run":
        return [*both, ["--track", "nothing"], ["method=es", "seed=1"]]
    odd = [["--workers", number] for number in ("-1", "0", "2", "nan", "1e3", "99999999999")]
    odd += [["--gpus-per-cell", "nan"], ["--gpus-per-cell", "1"], ["--executor", "moon"]]
    return [*both, *odd, ["seeds=[]"], ["methods={}"]]


_FILES = {
    "empty.jsonl": b"",
    "null.json": b"null",
    "list.csv": b"step,score\n1,\n,2\nx,y\n",
    "huge.csv": b"step,score\n0,1e300\n1,-1e300\n2,1e308\n3,nan\n4,inf\n",
    "steps.csv": b"step,score\n1e300,0.5\n2e300,0.1\n",
    "wide.jsonl": b'{"step": 1, "eval/pass@1": 1e400}\n{"step": 99999999999999999999999, "eval/pass@1": 0.5}\n',
    "binary.jsonl": bytes(range(256)),
    "deep.json": b"[" * 5000,
    "good.csv": b"step,score\n0,0.1\n1,0.5\n2,0.4\n3,0.1\n",
    "torn.jsonl": b'{"step": 0, "score": 0.1}\n{"step": 1, "sc',
}


@st.composite
def readings(draw: st.DrawFn) -> list[str]:
    """Verbs that read, on odd files."""
    file = st.sampled_from([*_FILES, "dir", "run", "study", "nowhere", "", "/dev/null", "/"[:0] + "é"])
    verb = draw(st.sampled_from(["status", "report", "replay", "list", "bench", "nonsense"]))
    if verb == "replay":
        control = draw(st.sampled_from(["early_stop", "crest", "nope", "", "early_stop,significant_fall"]))
        return [verb, draw(file), "--control", control, *draw(words())]
    if verb == "report":
        return [verb, draw(file), "--out", draw(st.sampled_from(["/proc/x/y.html", "dir", "/dev/full/x", ""]))]
    if verb == "bench":
        return [verb, draw(st.sampled_from(["nope", "grader"])), "--programs", draw(st.sampled_from(["-5", "0", "x"]))]
    return [verb, draw(file), *draw(st.lists(st.sampled_from(["--json", "--nope", "a=1"]), max_size=1))]


def _verbs() -> dict[str, list[argparse.Action]]:
    """The arguments of every verb that ends by itself, starts no other command and asks no other machine."""
    (verbs,) = (a for a in parser(*VERBS)._actions if isinstance(a, argparse._SubParsersAction))
    left_out = {"help", "exec", "webhook", "notify", "serve", "against", "explain_sandbox", "watch", "json"}
    chosen = set(VERBS) - {"run", "study", "bench"}
    return {v: [a for a in verbs.choices[v]._actions if a.dest not in left_out] for v in sorted(chosen)}


ARGUMENTS = _verbs()


@st.composite
def any_words(draw: st.DrawFn) -> list[str]:
    """Any verb with its own arguments, at and beyond what each may be."""
    verb = draw(st.sampled_from(sorted(ARGUMENTS)))
    file = st.sampled_from([*_FILES, "dir", "run", "study", "small.yaml", "nowhere", "/dev/null", "-", "é"])
    value = st.one_of(st.sampled_from(_NUMBERS), st.sampled_from(_ODD), file)
    out = [verb]
    for argument in ARGUMENTS[verb]:
        if argument.option_strings and not argument.required and draw(st.integers(0, 3)):
            continue
        out += argument.option_strings[:1]
        if argument.choices and draw(st.booleans()):
            out.append(draw(st.sampled_from(sorted(argument.choices))))
        elif argument.nargs != 0:
            out.append(draw(file if argument.type is Path or argument.metavar == "PATH" else value))
    chosen = draw(words()) if draw(st.booleans()) else []
    return [*out, *chosen, *(["--once"] if verb == "watch" else [])]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("command_line")
    study = {"seeds": [0], "methods": {"naive": {}, "es": {"control": {"name": "early_stop"}}}}
    (path / "small.yaml").write_text(json.dumps(fakes.options()))
    (path / "study.yaml").write_text(json.dumps(fakes.options(**study)))
    for name, content in _FILES.items():
        (path / name).write_bytes(content)
    (path / "dir").mkdir()
    for name, kind in (("run", "run.json"), ("study", "study.json")):
        (path / name).mkdir()
        (path / name / kind).write_text("{}")
    return path


def check(command: list[str], scratch: Path, *, may_end_well: bool = False) -> int:
    before, cwd = _names(scratch), os.getcwd()
    out, err = io.StringIO(), io.StringIO()
    os.chdir(scratch)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code: Any = main(command)
            except SystemExit as end:
                code = end.code
    finally:
        os.chdir(cwd)
    said = err.getvalue()
    assert code in ((0, 1, 2) if may_end_well else (0, 2)), (command, code, said)
    assert UNEXPECTED not in said, (command, said)
    assert "Traceback" not in said, (command, said)
    if code == 2:
        lines = [line for line in said.splitlines() if not line.startswith("crestfall: left out: ")]
        assert len(lines) == 1, (command, said)
        assert lines[0].startswith("crestfall: "), (command, said)
    if code == 2 or not may_end_well:
        assert _names(scratch) == before, (command, _names(scratch) - before)
    return int(code)


def _names(path: Path) -> set[str]:
    return {str(file) for file in path.rglob("*")}


EXAMPLES = int(os.environ.get("CRESTFALL_COMMAND_LINES", "60"))
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize="CRESTFALL_COMMAND_LINES" not in os.environ,
)


@QUICK
@given(command=trainings())
def test_trainings_are_refused_in_one_line_or_dry_run(command: list[str], scratch: Path) -> None:
    check(command, scratch)


@QUICK
@given(command=readings())
def test_what_reads_odd_files_says_so_in_one_line(command: list[str], scratch: Path) -> None:
    check(command, scratch)


@QUICK
@given(command=any_words())
def test_any_verb_refuses_in_one_line_and_leaves_no_file(command: list[str], scratch: Path) -> None:
    with open(os.devnull) as nothing, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", nothing)
        patch.setenv("XDG_STATE_HOME", str(scratch / "state"))
        check(command, scratch, may_end_well=True)
