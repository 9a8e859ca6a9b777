"""The page of `crestfall watch --serve` in a real browser: it asks for itself again, and fits a phone and a desk."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from crestfall.report.live.watch_page import PageServer, page
from curves import lines

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="NO BROWSER: chromium is not installed, the page was not opened"),
]


def command(profile: Path, url: str, *words: str) -> list[str]:
    return [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", f"--user-data-dir={profile}", *words, url,
    ]  # fmt: skip


def chromium(profile: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(profile, url, *words), capture_output=True, text=True, timeout=120, check=True)


class Counted(PageServer):
    """Says in the page how often it has been asked for."""

    asked = 0

    @property
    def content(self) -> bytes:
        self.asked += 1
        return page([], [f"asked for {self.asked} times"], 1).encode()


def test_it_asks_for_itself_again(tmp_path: Path) -> None:
    server = Counted("127.0.0.1", 0)
    browser = subprocess.Popen(
        command(tmp_path / "profile", server.url, "--remote-debugging-port=0"), stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 90
        while server.asked < 4 and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        browser.kill()
        browser.wait()
        server.close()
    assert server.asked >= 4


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, subprocess.Popen[str]]:
    """The address of the page of a watch of three logs: one fell, one holds, one has too few points."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fell.jsonl").write_text(lines(lambda s, v: json.dumps({"step": s, "eval/pass@1": v}) + "\n"))
    held = lines(lambda s, v: json.dumps({"step": s, "eval/pass@1": 0.5 + s % 3 / 100}) + "\n")
    (tmp_path / ("a_run_with_a_long_name_" * 4 + ".jsonl")).write_text(held)
    (tmp_path / "few.jsonl").write_text('{"step": 1, "eval/pass@1": 0.5}\n{"step": 2, "eval/pass@1": 0.5}\n')
    words: Sequence[str] = (".", "not/there/yet.log", "--samples", "480", "--serve", "--port", "0", "--interval", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "crestfall", "watch", *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out = process.stdout
    assert out is not None
    for line in out:
        if match := re.search(r"http://\S+", line):
            return match[0], process
    raise AssertionError(process.communicate()[1])


def test_the_page_of_a_watch(watched: tuple[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    url, process = watched
    try:
        done = chromium(tmp_path / "profile", url, "--dump-dom")
        for width, dark in ((1400, False), (1400, True), (390, False), (390, True)):
            shot = tmp_path / f"{width}-{'dark' if dark else 'light'}.png"
            scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
            chromium(tmp_path / "profile", url, f"--screenshot={shot}", f"--window-size={width},900", scheme)
            assert shot.stat().st_size > 5000
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert "1 of 3 runs have fallen" in done.stdout
    assert "not/there/yet.log" in done.stdout
    assert "CONSOLE" not in done.stderr
