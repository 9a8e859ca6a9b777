"""`crestfall grade`: nothing is lost, no input is overwritten, and what the scores leave out is said."""

# ruff: noqa: E501  (a sample a line reads best)

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crestfall.cli.main import main

PROBLEMS = [{"task_id": f"t/{i}", "entry_point": "f", "tests": [[[1], 2]]} for i in range(3)]
RIGHT, WRONG = "def f(x):\n    return x + 1\n", "def f(x):\n    return x\n"
SLEEPER = "import time\ntime.sleep(60)\n" + RIGHT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("p.jsonl", PROBLEMS)
    write("s.jsonl", [{"task_id": f"t/{i}", "solution": RIGHT} for i in range(3)])
    return tmp_path


def write(name: str, rows) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def grade(*words: str) -> int:
    return main(["grade", "--problems", "p.jsonl", "--samples", "s.jsonl", "--workers", "1", *words])


def result(capsys, *words: str) -> tuple[int, dict]:
    code = grade("--json", *words)
    return code, json.loads(capsys.readouterr().out)


def lines(name: str = "r.jsonl"):
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


# --- what the scores are about ---------------------------------------------------------------------------------------


def test_missing_unknown_and_null_are_counted_and_said(folder, capsys):
    write("s.jsonl", [{"task_id": "t/0", "solution": RIGHT}, {"task_id": "zzz", "solution": RIGHT}, {"task_id": "t/1", "solution": None}])  # fmt: skip
    assert grade("--out", "r.jsonl") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of 3 problems have no sample: the scores are over the others (t/2)" in said
    assert "1 samples are of tasks that no problem has, and skipped (zzz; s.jsonl:2)" in said
    assert "1 samples were never written (null)" in said
    assert [line["verdict"] for line in lines()] == ["passed", "no_code"]
    code, said = result(capsys, "--allow-missing")
    assert code == 0
    assert (said["missing"], said["unknown"], said["null"], said["pass_at_1"]) == (["t/2"], ["zzz"], 1, 0.5)


def test_what_cannot_be_graded_is_said_and_ends_with_exit_code_1(folder, capsys):
    write("p.jsonl", [{"task_id": "t", "entry_point": "f", "tests": "print(f(1) == 2)"}])
    write("s.jsonl", [{"task_id": "t", "solution": RIGHT}])
    assert grade() == 1
    assert "1 of 1 could not be graded (tests of the problem: unsupported)" in capsys.readouterr().out
    code, said = result(capsys, "--allow-missing")
    assert (code, said["unsupported"], said["pass_at_1"]) == (0, 1, 0.0)


def test_no_sample_of_any_problem(folder, capsys):
    write("s.jsonl", [{"task_id": "zzz", "solution": RIGHT}])
    assert grade("--out", "r.jsonl") == 2
    assert "s.jsonl:1: field 'task_id' is 'zzz', which no problem has" in capsys.readouterr().err
    assert not Path("r.jsonl").exists()


def test_rows_that_nothing_could_grade_are_said(folder, capsys):
    row = {"problem_id": "t/9", "question": "q", "input_output": ""}
    write("p.jsonl", [*PROBLEMS, row])
    code, said = result(capsys)
    assert (code, said["problems"], said["left_out"]) == (0, 3, ["p.jsonl:4: no tests"])


def test_references_that_are_missing_are_no_failure(folder, capsys):
    write("p.jsonl", [PROBLEMS[0] | {"reference": RIGHT}, *PROBLEMS[1:]])
    assert main(["grade", "--problems", "p.jsonl", "--references", "--workers", "1"]) == 0
    assert "2 of 3 problems have no reference" in capsys.readouterr().out


SAMPLES = {
    "generation": ({"generation": RIGHT}, ["passed"]),
    "output": ({"output": f"```python\n{RIGHT}```"}, ["passed"]),
    "messages": ({"messages": [{"role": "user", "content": WRONG}, {"role": "assistant", "content": RIGHT}]}, ["passed"]),
    "response as messages": ({"response": [{"role": "assistant", "content": RIGHT}]}, ["passed"]),
    "parts": ({"response": [{"role": "assistant", "content": [{"type": "text", "text": RIGHT}]}]}, ["passed"]),
    "chat completion": ({"choices": [{"index": 0, "message": {"role": "assistant", "content": RIGHT}},
                                     {"index": 1, "message": {"role": "assistant", "content": WRONG}}]}, ["passed", "wrong_answer"]),
    "completion": ({"choices": [{"text": RIGHT}, {"text": WRONG}]}, ["passed", "wrong_answer"]),
    "Gemini": ({"candidates": [{"content": {"role": "model", "parts": [{"text": RIGHT[:9]}, {"text": RIGHT[9:]}]}}]}, ["passed"]),
    "batch": ({"custom_id": "t/0", "response": {"status_code": 200, "body": {"choices": [{"message": {"role": "assistant", "content": RIGHT}}]}}}, ["passed"]),
    "a failed batch": ({"custom_id": "t/0", "response": {"status_code": 500, "error": {"message": "x"}}}, ["no_code"]),
    "inspect": ({"id": "t/0", "output": {"completion": RIGHT}}, ["passed"]),
    "code in an object": ({"task_id": "t/0", "solution": {"code": RIGHT}}, ["passed"]),
    "thinking of an API": ({"choices": [{"message": {"role": "assistant", "reasoning_content": RIGHT, "content": None}}]}, ["no_code"]),
    "samples": ({"samples": [RIGHT, WRONG, None]}, ["passed", "wrong_answer", "no_code"]),
    "code_list": ({"question_id": "t/0", "code_list": [RIGHT, ""], "output_list": ["x", "y"]}, ["passed", "no_code"]),
    "harness": ({"doc_id": 0, "doc": {"task_id": "t/0", "prompt": "p"}, "resps": [[WRONG]], "filtered_resps": [[RIGHT]]}, ["passed"]),
    "completions": ({"completions": [RIGHT, RIGHT]}, ["passed", "passed"]),
    "beside a data set's solution": ({"solution": WRONG, "code": WRONG, "response": RIGHT, "text": "Double it."}, ["passed"]),
    "pandas's nothing": ({"response": float("nan"), "solution": RIGHT}, ["no_code"]),
    "a call of a tool, Anthropic's": ({"response": [{"type": "text", "text": "Now."}, {"type": "tool_use", "name": "submit", "input": {"code": RIGHT}}]}, ["passed"]),
    "a call of a tool, OpenAI's": ({"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "submit", "arguments": json.dumps({"code": RIGHT})}}]}}]}, ["passed"]),
    "rollouts": ({"rollouts": [{"text": RIGHT, "reward": 1}, {"text": WRONG, "reward": 0}]}, ["passed", "wrong_answer"]),
    "generated": ({"generated": [RIGHT]}, ["passed"]),
    "pred": ({"pred": RIGHT}, ["passed"]),
    "LangChain": ({"response": {"lc": 1, "kwargs": {"content": RIGHT}}}, ["passed"]),
    "blocked by Gemini": ({"response": {"promptFeedback": {"blockReason": "SAFETY"}}}, ["no_code"]),
    "several conversations": ({"responses": [[{"role": "assistant", "content": RIGHT}], [{"role": "assistant", "content": WRONG}]]}, ["passed", "wrong_answer"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_as_people_have_them(name, folder):
    row, verdicts = SAMPLES[name]
    ids = {"task_id", "custom_id", "question_id", "doc"} & set(row)
    write("s.jsonl", [row if ids else {"task_id": "t/0", **row}])
    grade("--out", "r.jsonl", "--allow-missing")
    assert [line["verdict"] for line in lines()] == verdicts


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"t/0": RIGHT}),
        json.dumps({"samples": [{"task_id": "t/0", "solution": RIGHT}]}),
        json.dumps({"samples": [{"task_id": "t/0", "solution": RIGHT}]}, indent=2),
        json.dumps([[RIGHT]]),
    ],
    ids=["texts by task", "rows inside of an object", "the same over lines", "BigCode's lists by number"],
)
def test_one_object_or_list_for_all_samples(text, folder):
    Path("s.jsonl").write_text(text)
    grade("--out", "r.jsonl", "--allow-missing")
    assert [line["verdict"] for line in lines()] == ["passed"]


@pytest.mark.parametrize(
    "given", [{"reply": RIGHT}, 5, [{"type": "text", "text": RIGHT}, 7], {"response": {"reply": RIGHT}}]
)
def test_samples_of_no_known_shape_are_refused(given, folder, capsys):
    write("s.jsonl", [{"task_id": "t/0", "response": given}])
    assert grade("--out", "r.jsonl", "--allow-missing") == 2
    assert "s.jsonl:1: field 'response': " in capsys.readouterr().err
    assert not Path("r.jsonl").exists()


def test_so_many_more_failed(folder, capsys):
    write("s.jsonl", [{"task_id": "t/0", "solution": f"{WRONG}#{i}\n"} for i in range(12)])
    grade("--allow-missing")
    assert "and 2 more that did not pass" in capsys.readouterr().out


@pytest.mark.parametrize("indent", [None, 1])
def test_one_object_with_the_samples_of_every_task(folder, indent):
    Path("s.jsonl").write_text(json.dumps({"t/0": [RIGHT, WRONG], "t/1": [RIGHT], "t/2": []}, indent=indent))
    assert grade("--out", "r.jsonl") == 1
    assert [line["verdict"] for line in lines()] == ["passed", "wrong_answer", "passed"]
    Path("s.jsonl").write_text(json.dumps({f"t/{i}": {"solution": RIGHT} for i in range(3)}, indent=1))
    assert grade("--out", "r.jsonl") == 0


def test_numbers_are_ids_where_one_side_has_no_prefix(folder, capsys):
    write("s.jsonl", [{"task_id": 0, "solution": RIGHT}, {"task_id": "x/1", "solution": RIGHT}])
    _code, said = result(capsys)
    assert (said["n"], said["unknown"]) == (1, ["x/1"])
    write("p.jsonl", [*PROBLEMS, PROBLEMS[0] | {"task_id": "u/0"}])
    assert grade() == 2
    assert "samples of '0' could be of 't/0' and of 'u/0'" in capsys.readouterr().err


# --- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "s.jsonl"), "s.jsonl is an input"),
        (("--out", "./p.jsonl"), "p.jsonl is an input"),
        (("--out", "link.jsonl"), "link.jsonl is an input"),
        (("--evalplus-out", "s.jsonl"), "s.jsonl is an input"),
        (("--out", "nowhere/r.jsonl"), "cannot be written: No such file or directory"),
        (("--out", "."), ". is a directory"),
        (("--out", "r.json", "--evalplus-out", "r.json"), "name the same file"),
        (("--json", "--out", "-"), "standard output is taken"),
    ],
)
def test_an_output_is_tried_before_the_first_program(folder, capsys, words, message):
    os.link("s.jsonl", "link.jsonl")
    before = Path("s.jsonl").read_text()
    write("p.jsonl", PROBLEMS)
    start = time.monotonic()
    assert grade(*words) == 2
    assert message in capsys.readouterr().err
    assert Path("s.jsonl").read_text() == before
    assert sorted(path.name for path in folder.iterdir()) == ["link.jsonl", "p.jsonl", "s.jsonl"]
    assert time.monotonic() - start < 30


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "crestfall", "grade", "--workers", "1", *words]


def test_pipes_work_on_every_side(folder):
    script = (
        f"{' '.join(command('--problems', '<(gzip -c p.jsonl)', '--samples', '-', '--out', '-'))} < s.jsonl | head -n 1"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert json.loads(done.stdout)["verdict"] == "passed"
    assert "3 of 3 passed" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_grading_that_was_broken_off_goes_on(folder, number):
    write(
        "s.jsonl",
        [{"task_id": "t/0", "solution": f"{RIGHT}# {i}\n"} for i in range(80)]
        + [{"task_id": "t/1", "solution": SLEEPER}],
    )
    words = command(
        "--problems", "p.jsonl", "--samples", "s.jsonl", "--out", "r.jsonl", "--allow-missing", "--wall-seconds", "3"
    )
    started = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    partial = folder / "r.jsonl.partial"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (partial.exists() and partial.read_text().count("\n") >= 30):
        time.sleep(0.05)
    started.send_signal(number)
    _, said = started.communicate(timeout=30)
    assert started.returncode == 130
    kept = partial.read_text().count("\n")
    assert f"the grades of {kept} programs are kept in r.jsonl.partial" in said
    assert not (folder / "r.jsonl").exists()
    with partial.open("a") as file:  # a line that a kill tore
        file.write('{"key": "12", "grade": {"verdict": "unheard of", "tests": []}}\n{"key": "12')
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"going on from {kept} grades" in done.stderr
    verdicts = [line["verdict"] for line in lines()]
    assert verdicts == ["passed"] * 80 + ["time_limit"]
    assert not partial.exists()


def test_what_has_changed_is_graded_anew(folder, monkeypatch, capsys):
    from crestfall.cli import grade_files

    with monkeypatch.context() as patch:
        patch.setattr(grade_files, "write_lines", lambda lines, path: (_ for _ in ()).throw(KeyboardInterrupt))
        assert grade("--out", "r.jsonl") == 130
    kept = Path("r.jsonl.partial").read_text()
    Path("r.jsonl.partial").write_text(kept.replace('"passed"', '"violation"'))
    assert grade("--out", "r.jsonl") == 0
    assert [line["verdict"] for line in lines()] == ["violation"] * 3  # so they are taken, not graded again
    Path("r.jsonl.partial").write_text(kept.replace('"passed"', '"violation"'))
    write("p.jsonl", [PROBLEMS[0] | {"tests": [[[1], 2], [[2], 3]]}, *PROBLEMS[1:]])
    write("s.jsonl", [{"task_id": f"t/{i}", "solution": RIGHT if i < 2 else WRONG} for i in range(3)])
    assert grade("--out", "r.jsonl") == 0
    assert [line["verdict"] for line in lines()] == ["passed", "violation", "wrong_answer"]


@pytest.mark.slow
def test_problems_are_not_held(folder):
    """Forty problems with 4 MB of tests each, of which two are asked for: a file of 160 MB in less memory than that."""
    big = "1\n" * 1_000_000
    with open("p.jsonl", "w") as file:
        for i in range(40):
            file.write(
                json.dumps(
                    {"task_id": f"t/{i}", "tests": [{"stdin": big, "stdout": "1\n"}, {"stdin": "1\n", "stdout": big}]}
                )
                + "\n"
            )
    write("s.jsonl", [{"task_id": f"t/{i}", "solution": "print(input())\n"} for i in (3, 37)])
    # Not ru_maxrss: a process starts with that of the one that forked it, which is pytest.
    script = (
        "import re, sys\nfrom crestfall.cli.main import main\ncode = main(sys.argv[1:])\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)\n"
    )
    words = [
        "grade",
        "--problems",
        "p.jsonl",
        "--samples",
        "s.jsonl",
        "--out",
        "r.jsonl",
        "--allow-missing",
        "--workers",
        "1",
    ]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert [line["verdict"] for line in lines()] == ["wrong_answer"] * 2, done.stderr
    assert int(done.stdout.split()[-1]) < 150


def test_a_full_disk_is_one_line_and_what_it_tore_costs_one_grade(folder, monkeypatch, capfd):
    from crestfall.core.types import Grade, Verdict
    from crestfall.grading.kept import KeptGrades

    partial, opened = folder / "r.jsonl.partial", Path.open

    def full(path, mode="r", *rest, **more):
        if mode == "a":
            raise OSError(28, "No space left on device")
        return opened(path, mode, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        assert grade("--out", "r.jsonl") == 2
    said = capfd.readouterr().err
    assert said.count("\n") == 1, said
    assert "r.jsonl.partial: the disk is full" in said
    assert not partial.exists()
    partial.write_text('{"key": "12')  # torn
    KeptGrades(partial).add({"a": Grade(Verdict.PASSED)})
    kept = KeptGrades(partial)
    assert (kept.found, kept.get("a")) == (1, Grade(Verdict.PASSED))
