"""`crestfall watch` beside a process that writes: it tells, acts once, survives kill -9, and ends with what it saw."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from crestfall.cli.main import main

CRESTFALL = [sys.executable, "-m", "crestfall"]
WRITER = """
import json, sys, time
with open(sys.argv[1], "a") as log:
    for step in range(16):
        row = json.dumps({"step": step, "eval/acc": 0.7 if step < 12 else 0.2}) + "\\n"
        for part in (row[:9], row[9:]):
            log.write(part)
            log.flush()
            time.sleep(0.02)
"""
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [*CRESTFALL, "watch", *words, "--interval", "0.1"]
        started.append(subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def once(*words: str) -> subprocess.CompletedProcess[str]:
    """One look, in this process: starting another costs a second each time."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main(["watch", *words, "--once"])
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def write(path: Path, values: Sequence[float]) -> None:
    path.write_text("".join(json.dumps({"step": i, "eval/acc": v}) + "\n" for i, v in enumerate(values)))


def wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


HEALTHY, FALLEN = [0.7] * 16, [0.7] * 12 + [0.2] * 4


def test_it_follows_a_log_that_is_written_and_ends_with_what_it_saw(start: Callable[..., Any], tmp_path: Path) -> None:
    watch = start("m.jsonl", "--samples", "200", "--exec", "echo x >> fired", "--json")
    assert "at most 0.05 of runs" in watch.stderr.readline()
    assert watch.stderr.readline() == "waiting: m.jsonl: nothing there yet\n"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, "m.jsonl"])
    wait_for((tmp_path / "fired").exists)
    assert writer.wait() == 0
    time.sleep(0.5)
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=PATIENCE)
    assert watch.returncode == 130
    seen = json.loads(out)
    assert (seen["fell"], seen["interrupted"]) == (True, True)
    assert seen["runs"][0]["alarm"]["step"] == 12
    assert seen["runs"][0]["restarts"] == 0  # no torn line was taken for a value
    assert "interrupted" in err
    assert (tmp_path / "fired").read_text() == "x\n"


def test_a_command_runs_once_whatever_happens_to_the_watch(start: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path / "m.jsonl", FALLEN)
    words = ("m.jsonl", "--samples", "200", "--exec", "echo x >> fired; env | grep CRESTFALL_ > facts")
    watch = start(*words)
    wait_for((tmp_path / "facts").exists)
    watch.send_signal(signal.SIGKILL)
    watch.wait()
    again = once(*words)
    assert again.returncode == 1
    assert "to arm it again" in again.stdout
    write(tmp_path / "m.jsonl", [0.72] * 14 + [0.1] * 4)  # the job is restarted from scratch, and falls again
    assert once(*words).returncode == 1
    assert (tmp_path / "fired").read_text() == "x\n"
    assert "CRESTFALL_STEP=12" in (tmp_path / "facts").read_text()


def test_a_look_says_by_its_exit_code_whether_something_fell(tmp_path: Path) -> None:
    write(tmp_path / "good.jsonl", HEALTHY)
    assert once("good.jsonl", "--samples", "200").returncode == 0
    write(tmp_path / "bad.jsonl", FALLEN)
    both = once("good.jsonl", "bad.jsonl", "--samples", "200", "--json")
    assert both.returncode == 1
    assert [run["fell"] for run in json.loads(both.stdout)["runs"]] == [False, True]
    assert once("later.jsonl").returncode == 0


def test_a_path_that_is_no_utf_8_can_be_watched(tmp_path: Path) -> None:
    path = Path(os.fsdecode(b"\xff\xfe.jsonl"))
    write(path, HEALTHY)
    done = once(str(path), "--samples", "200")
    assert (done.returncode, done.stderr) == (0, "")


def test_it_says_that_the_noise_is_unknown(tmp_path: Path) -> None:
    write(tmp_path / "m.jsonl", [0.7, 0.735, 0.7, 0.4, 0.1, 0.003, 0.003])
    few = once("m.jsonl")
    assert few.returncode == 0
    assert "--samples N" in few.stdout


def test_a_webhook_is_told_once(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    write(tmp_path / "m.jsonl", FALLEN)
    for _ in range(2):
        once("m.jsonl", "--samples", "200", "--webhook", f"http://127.0.0.1:{server.server_address[1]}/")
    server.shutdown()
    server.server_close()
    assert [hook["step"] for hook in told] == [12]


def test_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "m.jsonl", [0.1, 0.7, 0.3])
    for step in range(3):
        (tmp_path / "ckpt" / f"step_{step}").mkdir(parents=True)
        (tmp_path / "ckpt" / f"step_{step}" / "model").write_text("")
        for path in (tmp_path / "ckpt" / f"step_{step}" / "model", tmp_path / "ckpt" / f"step_{step}"):
            os.utime(path, (1e9, 1e9))
    done = once("m.jsonl", "--samples", "200", "--keep", "ckpt/step_{step}")
    assert "kept step 1" in done.stdout
    assert (tmp_path / "ckpt-kept" / "step_1" / "model").exists()


def test_a_look_that_cannot_keep_the_best_ends_with_2(tmp_path: Path) -> None:
    write(tmp_path / "m.jsonl", [0.1, 0.7, 0.6])
    (tmp_path / "ckpt" / "step_1").mkdir(parents=True)
    os.utime(tmp_path / "ckpt" / "step_1", (1e9, 1e9))
    (tmp_path / "ckpt-kept").write_text("a file in its place")
    done = once("m.jsonl", "--samples", "200", "--keep", "ckpt/step_{step}", "--json")
    assert done.returncode == 2
    assert "ckpt-kept: not kept, and what was kept stays: File exists" in json.loads(done.stdout)["not_kept"][0]


@pytest.mark.parametrize(
    "words",
    [
        ["m.jsonl", "--control", "nonsense"],
        ["m.jsonl", "--webhook", "ftp://x"],
        ["m.jsonl", "--keep", "checkpoints"],
        ["m.jsonl", "--keep", "c_{step}", "--keep-best", "0"],
        ["m.jsonl", "--interval", "0"],
        ["m.jsonl", "--samples", "0"],
        ["m.jsonl", "--serve", "--port", "70000"],
        ["m.jsonl", "--serve", "--host", "not a host"],
        ["m.jsonl", "--notify", "nonsense://x"],
        ["m.jsonl", "--metric", "nothing_like_it"],
        ["m.jsonl", "horizont=3"],
        ["-"],
        ["noise.bin"],
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: list[str]) -> None:
    write(tmp_path / "m.jsonl", HEALTHY)
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)) * 8)
    done = once(*words, "--json")
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert sum(line.startswith("crestfall: ") for line in done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_an_alert_names_the_best_checkpoint_that_is_saved(tmp_path: Path) -> None:
    write(tmp_path / "m.jsonl", FALLEN)
    for step in (5, 14):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"x")
    done = once("m.jsonl", "--samples", "200")
    told = next(line for line in (done.stdout + done.stderr).splitlines() if "take" in line)
    assert "checkpoint-5 (step 5" in told.replace("\n", "")
