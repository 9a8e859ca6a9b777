"""Alerts reach a real web server, and a bad one costs nothing but a line in the log."""

import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from crestfall import Guard
from crestfall.core.errors import ConfigError
from crestfall.core.types import Decision
from crestfall.report.live.alerts import Apprise, Console, Webhook, message

ALERT = Decision("continue", None, "alert: down by 0.4", {"p_value": 0.01})
ROLLBACK = Decision("rollback", 3, "down by 0.4")


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    web = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}", received
    web.shutdown()
    web.server_close()


def test_a_guards_actions_are_posted(server: tuple[str, list[Any]], tmp_path: Path) -> None:
    url, received = server
    hook = Webhook(f"{url}/hook")
    guard = Guard(tmp_path, control={"name": "significant_fall"}, notify=[hook])
    for step, value in enumerate([0.5, 0.5, 0.1]):
        guard.observe(step, select=value, n=500)
    assert hook.flush(5)
    (body,) = received
    assert (body["step"], body["action"], body["target_step"]) == (2, "stop", 0)
    assert body["text"].startswith("crestfall: stop at step 2: down by 0.400")
    assert body["evidence"]["p_value"] < 0.05


def test_a_server_that_refuses_or_is_away_costs_a_line(
    server: tuple[str, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    url, _ = server
    for bad in (f"{url}/broken", "http://127.0.0.1:9/secret-token"):
        with caplog.at_level(logging.WARNING, "crestfall"):
            hook = Webhook(bad, timeout=2)
            hook(ALERT, 7)
            assert hook.flush(10)
    assert len(caplog.records) == 2
    assert "secret-token" not in caplog.text


def test_a_server_that_hangs_does_not_hold_up_training() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook = Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=30)
        started = time.monotonic()
        for step in range(150):  # more than may wait
            hook(ALERT, step)
        assert not hook.flush(0.1)
        assert time.monotonic() - started < 5


def test_a_service_that_fails_costs_a_line_without_its_password(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("apprise")
    tell, sent = Apprise(["json://user:secret@127.0.0.1:9"]), []
    tell._services.notify = lambda **message: sent.append(message["body"])
    with caplog.at_level(logging.WARNING, "crestfall"):
        tell(ALERT, 7)
        assert tell.flush(10)
    assert sent == ["crestfall: alert at step 7: down by 0.4"]
    own = [line for line in caplog.messages if line.startswith("notify")]  # a hook of another test may still be trying
    assert own == ["notify: a service did not take the message"]


def test_only_web_addresses() -> None:
    with pytest.raises(ConfigError, match="http"):
        Webhook("file:///etc/passwd")


def test_messages() -> None:
    out = io.StringIO()
    Console(out)(ROLLBACK, 5)
    assert out.getvalue() == "crestfall: rollback to step 3 at step 5: down by 0.4\n"
    assert message(ALERT, 2) == "crestfall: alert at step 2: down by 0.4"
