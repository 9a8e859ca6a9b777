"""The page of `crestfall watch --serve`: one page that loads itself again, and nothing else, for this machine alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from markupsafe import Markup

from crestfall.analysis.watch.monitor import View
from crestfall.core.errors import ConfigError
from crestfall.core.text import visible
from crestfall.report.live.watching import number, verdict
from crestfall.report.svg import element, polyline

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MOST_POINTS = 400
_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
section{border-top:1px solid #8886;padding:1rem 0}h2{font-size:1.05rem;margin:0}p{margin:.3rem 0}
.fell{color:#c22;font-weight:600}.waits{color:#a60}.fine{color:#283}svg{width:100%;height:9rem}
polyline,path{fill:none;stroke:currentColor;stroke-width:1.5;vector-effect:non-scaling-stroke}path.fell{stroke:#c22}
h2,p{overflow-wrap:anywhere}.axis{display:flex;justify-content:space-between;font-size:.85rem;opacity:.75}
@media(prefers-color-scheme:dark){.fell{color:#f77}.waits{color:#fb5}.fine{color:#7d9}}
"""


def page(views: Sequence[View], waiting: Sequence[str], refresh: float) -> str:
    """HTML without any script: it asks for itself again every `refresh` seconds."""
    fell = sum(view.alarm is not None for view in views)
    state = f"{fell} of {len(views)} runs have fallen" if views else "nothing to see yet"
    body = [Markup("<h1>crestfall watch</h1><p>{}</p>").format(state), *map(_section, views)]
    body += [Markup('<p class="waits">waiting: {}</p>').format(visible(line, 300)) for line in waiting]
    head = Markup(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="{}">'
        '<meta name="viewport" content="width=device-width"><title>{}</title><style>{}</style>'
    ).format(max(1, round(refresh)), f"{state} · crestfall", Markup(_STYLE))
    return str(head + Markup("").join(body) + Markup("</html>\n"))


def _section(view: View) -> Markup:
    kind = "fell" if view.alarm else "waits" if view.waits else "fine"
    facts = (
        f"{view.metric}: {number(view.values_S[-1])} at step {view.steps_S[-1]}, smoothed "
        f"{number(view.smooth_S[-1])}; best {number(view.smooth_S[view.best])} at step {view.steps_S[view.best]}"
    )
    return Markup('<section><h2>{}</h2><p>{}</p><p class="{}">{}</p>{}</section>').format(
        visible(view.name, 120), visible(facts, 300), kind, visible(verdict(view), 400), _curve(view)
    )


def _curve(view: View) -> Markup:
    """The smoothed curve, stretched into its box."""
    at = np.unique(np.linspace(0, len(view.steps_S) - 1, _MOST_POINTS).round().astype(int))
    x, y = view.steps_S[at].astype(float), view.smooth_S[at]
    low, high = min(0.0, float(y.min())), float(y.max())
    points = [
        (600 * (a - x[0]) / max(x[-1] - x[0], 1e-9), 5 + 110 * (high - b) / max(high - low, 1e-9))
        for a, b in zip(x, y, strict=True)
    ]
    parts = [element("title", f"{visible(view.metric, 80)}, smoothed"), polyline(points, "line")]
    if view.alarm is not None:
        seen = 600 * (view.alarm.step - x[0]) / max(x[-1] - x[0], 1e-9)
        parts.append(element("path", d=f"M{seen:.1f} 0V120", class_="fell"))
    chart = element("svg", *parts, viewBox="0 0 600 120", preserveAspectRatio="none", role="img")
    axis = Markup('<div class="axis"><span>step {}</span><span>{} to {}</span><span>step {}</span></div>')
    return chart + axis.format(view.steps_S[0], number(low), number(high), view.steps_S[-1])


class PageServer:
    """Serves one page from a thread of its own until `close`.

    Only `/` is there, for GET and HEAD. Who asks under another host's name (a page elsewhere whose name was made to
    point here), or from another origin, is refused; nothing may frame the page or read it.
    """

    def __init__(self, host: str, port: int | None) -> None:
        self._page = b""
        self._server = _bound(host, port, self)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._server.server_address[1]}/"
        self.names = {host, *LOOPBACK} if host not in ("0.0.0.0", "::") else None
        self._thread = threading.Thread(target=self._server.serve_forever, name="crestfall-page", daemon=True)
        self._thread.start()

    def update(self, page: str) -> None:
        self._page = page.encode()

    @property
    def content(self) -> bytes:
        return self._page

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


DEFAULT_PORT = 8642
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def _bound(host: str, port: int | None, pages: PageServer) -> ThreadingHTTPServer:
    """On the port that was asked for; on the usual one or, where that is taken, any free one."""
    handler = type("Handler", (_Handler,), {"pages": pages})
    kind = type("Server", (ThreadingHTTPServer,), {"address_family": _family(host), "daemon_threads": True})
    for choice in [port] if port is not None else [DEFAULT_PORT, 0]:
        try:
            server: ThreadingHTTPServer = kind((host, choice), handler)
            return server
        except (OSError, OverflowError) as error:
            failure = error
    raise ConfigError(f"--serve: {host}:{port or DEFAULT_PORT}: {getattr(failure, 'strerror', None) or failure}")


def _family(host: str) -> int:
    import socket

    return socket.AF_INET6 if ":" in host else socket.AF_INET


class _Handler(BaseHTTPRequestHandler):
    pages: PageServer
    server_version, sys_version = "crestfall", ""
    timeout = 10

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if not self._is_ours():
            self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine alone")
        elif self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND, "the only page is /")
        else:
            body = self.pages.content
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    def _is_ours(self) -> bool:
        names, origin = self.pages.names, self.headers.get("Origin")
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if origin is not None and urlsplit(origin).netloc != self.headers.get("Host"):
            return False
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return False
        return names is None or host in names

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal belongs to the live view."""
