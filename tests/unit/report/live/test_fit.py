"""The views at every width: no number is lost, and it is said on which set they are and what is waited for."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

import fakes
from crestfall.core.build import plain
from crestfall.report.live.console import campaign_table
from crestfall.report.live.plain import PlainView
from crestfall.report.live.progress import RunProgress
from crestfall.testbed.config import run_config


def progress() -> RunProgress:
    config = plain(run_config(fakes.options(method="a_method_with_a_long_name", seed=123_456)))
    found = RunProgress.of(config)
    found.event({"type": "campaign_started", "campaign": 0, "budget": 6})
    for step, passed in enumerate((123, 789, 456)):
        evaluation: dict[str, Any] = {"n": 1000, "passed": [passed]}
        found.event({"type": "step", "select": evaluation, "report": evaluation, "seconds": {"x": 1.0}, "step": step})
    return found


NUMBERS = ("12.3%", "78.9%", "45.6%", "33.3")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_no_number_is_lost_however_narrow(width: int, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    console.print(campaign_table(progress()))
    said = out.getvalue()
    assert "…" not in said
    assert all(number in said.replace("\n", " ") for number in NUMBERS)
    if terminal:
        assert max(map(len, said.splitlines())) <= width
    assert "best on" in said.replace("\n", " ")


def test_before_the_first_evaluation_it_says_what_it_waits_for() -> None:
    out = io.StringIO()
    PlainView(Console(file=out, width=200), RunProgress("m", 0, 1, 1))
    assert "waiting for the first evaluation" in out.getvalue()
    assert "pass@1 on report" in out.getvalue()
