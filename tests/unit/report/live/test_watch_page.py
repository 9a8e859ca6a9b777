"""The page of a watch: this machine alone, one page, no script, nothing that a log says is believed."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from crestfall.analysis.watch.monitor import Alarm, View
from crestfall.core.errors import ConfigError
from crestfall.core.types import Decision
from crestfall.report.live.watch_page import PageServer, page


def view(name: str = "run", alarm: Alarm | None = None) -> View:
    values_S = np.array([0.1, 0.6, 0.2])
    return View("key", name, "eval/acc", Path("log"), np.arange(3), values_S, values_S, True, "", alarm)


@pytest.fixture
def server() -> Iterator[PageServer]:
    server = PageServer("127.0.0.1", 0)
    server.update(page([view()], ["later.csv: nothing there yet"], 5))
    yield server
    server.close()


def status(url: str, **headers: str) -> int:
    try:
        with urlopen(Request(url, headers={k.replace("_", "-"): v for k, v in headers.items()}), timeout=5) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_it_is_served_and_refreshes_itself(server: PageServer) -> None:
    with urlopen(server.url, timeout=5) as answer:
        text = answer.read().decode()
        policy = answer.headers["Content-Security-Policy"]
    assert 'http-equiv="refresh" content="5"' in text
    assert "best 0.600 at step 1" in text
    assert "later.csv" in text
    assert "script" not in text
    assert "default-src 'none'" in policy
    server.update("new")
    assert urlopen(server.url, timeout=5).read() == b"new"


@pytest.mark.parametrize("path", ["etc/passwd", "../", "?x=1", "index.html", "%2e%2e/", "favicon.ico"])
def test_there_is_no_other_page(server: PageServer, path: str) -> None:
    assert status(server.url + path) == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_other_hosts_and_origins_are_refused(server: PageServer, headers: dict[str, str]) -> None:
    assert status(server.url, **headers) == 403


def test_it_only_reads(server: PageServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.split(":")[2].strip("/")), timeout=5)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        connection.request(method, "/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 501
        assert answer.headers["Access-Control-Allow-Origin"] is None
    connection.request("HEAD", "/")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")


def test_a_port_that_is_taken(server: PageServer) -> None:
    port = int(server.url.split(":")[2].strip("/"))
    with pytest.raises(ConfigError, match="--serve"):
        PageServer("127.0.0.1", port)


def test_what_a_log_says_is_only_text() -> None:
    fell = Alarm(2, Decision("continue", None, "alert: <script>alert(1)</script>"))
    text = page([view("<img src=x onerror=1>\x1b[2J", fell)], ["<b>\u202e"], 0.1)
    assert "<script" not in text
    assert "<img" not in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "1 of 1 runs have fallen" in text
