"""The templates' environment: everything is escaped, only this very style and script count, nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from crestfall.core.text import visible
from crestfall.report import headline


@cache
def environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("crestfall.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters["visible"] = visible
    found.tests["strong"] = lambda part: isinstance(part, headline.Strong)
    return found


def html_of(template: jinja2.Template, **values: Any) -> str:
    """The template with style, script and policy filled in."""
    style, script = _asset("style.css"), _asset("script.js")
    html = template.render(style=Markup(style), script=Markup(script), policy=_policy(style, script), **values)
    # A lone surrogate that slipped through must not make the page unwritable.
    return html.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _asset(name: str) -> str:
    """A template's text without its comments and indentation: they are for those who read the source."""
    source = files("crestfall.report").joinpath("templates", name).read_text(encoding="utf-8")
    source = re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)
    return "\n".join(line.strip() for line in source.splitlines() if line.strip() and not line.strip().startswith("//"))


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy under which nothing is fetched and only this very style and script count."""

    def hashed(content: str) -> str:
        return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"

    sources = f"style-src {hashed(style)}; script-src {hashed(script)}"
    return f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
