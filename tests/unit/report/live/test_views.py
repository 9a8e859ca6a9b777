from __future__ import annotations

import io
import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import fakes
from crestfall.cli.study_view import StudyView
from crestfall.report.live.console import LiveView, run_view
from crestfall.report.live.plain import PlainView
from crestfall.report.live.progress import RunProgress
from crestfall.report.live.words import duration, percent, sparkline, verdict_mix
from crestfall.store.events import read_events
from crestfall.testbed.config import RunConfig, resolved, run_config, study_config
from crestfall.testbed.session import train
from crestfall.testbed.study import cells_of


@pytest.fixture(scope="module")
def config() -> RunConfig:
    options = fakes.options(control={"name": "early_stop", "then": "go_on", "margin": 1})
    return run_config(options | {"campaign": options["campaign"] | {"steps": 12}})


@pytest.fixture(scope="module")
def events(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("views") / "r"
    train(config, path, {})
    return list(read_events(path / "events.jsonl"))


def terminal(width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=40, color_system=None)


def printed(console: Console) -> str:
    out: str = console.file.getvalue()  # type: ignore[attr-defined]
    return out


def test_progress_agrees_with_the_events(config: RunConfig, events: list[dict[str, Any]]) -> None:
    progress = RunProgress.of(resolved(config), events)
    ended = [event for event in events if event["type"] == "campaign_ended"]
    result = progress.result("done")
    for campaign, event in zip(result["campaigns"], ended, strict=True):
        assert campaign == {key: event[key] for key in ("start", "peak", "peak_step", "end", "gap")}
    finals = [event for event in events if event["type"] == "final"]
    assert result["end_of_chain"] == finals[-1]["evaluation"]["pass_at_1"]
    assert progress.steps_done == sum(event["steps"] for event in ended)
    assert progress.ended
    assert progress.seconds_left() == 0.0
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_time_left_shrinks_and_counts_what_is_to_come(config: RunConfig, events: list[dict[str, Any]]) -> None:
    paced = [event | {"seconds": {"all": 2.0}} if "seconds" in event else event for event in events]
    progress, left = RunProgress.of(resolved(config)), []
    for event in paced:
        progress.event(event)
        left.append(progress.seconds_left())
    known = [x for x in left if x is not None]
    assert left[0] is None
    assert known[0] == pytest.approx(2 * (12 + 13) + 2 * 4)  # one step 0 is done; 2 finals a campaign
    assert all(a >= b for a, b in itertools.pairwise(known))


@pytest.mark.parametrize("width", [40, 80, 100])
def test_the_live_view_can_draw_every_moment(config: RunConfig, events: list[dict[str, Any]], width: int) -> None:
    console = terminal(width)
    view = run_view(console, RunProgress.of(resolved(config)), "early_stop", lambda: False)
    assert isinstance(view, LiveView)
    for event in events:
        view.event(event)
        console.print(view._render())
    view.close()
    if width == 100:
        said = printed(console)
        for word in (
            "evaluating the base policy",
            "step 1 of at most 12",
            "rolls back to step",
            "samples: ",
            "kept step",
        ):
            assert word in said
        assert "step 12" not in said.split("\n")[-2]


def test_the_live_view_is_redrawn_between_events_and_says_that_it_stops(
    config: RunConfig, events: list[dict[str, Any]]
) -> None:
    console = terminal()
    view = LiveView(console, RunProgress.of(resolved(config), events[:8]), "early_stop", lambda: True)
    time.sleep(0.7)
    view.close()
    assert "Ctrl-C again stops at once" in printed(console)


def test_plain_lines_hold_no_escape_codes(config: RunConfig, events: list[dict[str, Any]]) -> None:
    console = Console(file=io.StringIO(), width=200)
    view = run_view(console, RunProgress.of(resolved(config)), "early_stop", lambda: False)
    assert isinstance(view, PlainView)
    for event in events:
        view.event(event)
    view.close()
    lines = printed(console).splitlines()
    assert len([line for line in lines if line.startswith("campaign ")]) == 2 * 13
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("live", [True, False])
def test_the_study_view_reads_its_cells(tmp_path: Path, live: bool) -> None:
    study = study_config(fakes.options(seeds=[0], methods={"naive": {}, "es": {"control": {"name": "early_stop"}}}))
    naive, es = cells_of(study, tmp_path)
    console = terminal(80) if live else Console(file=io.StringIO(), width=80)
    view = StudyView(console, [naive, es], 2, lambda: False, clock=lambda: next(ticks))
    for cell in (naive, es):
        view.started(cell)
    train(naive.config, naive.path, {})
    view.tick()
    view.ended(naive, 0)
    es.log.parent.mkdir(parents=True, exist_ok=True)
    es.log.write_text("Traceback\nMemoryError: too much\n\n")
    view.ended(es, 1)
    view.close()
    said = printed(console)
    assert [row.status for row in view.rows] == ["done", "failed"]
    assert view.rows[1].error == f"MemoryError: too much (log: {es.log})"
    assert "naive" in said
    assert ("naive/seed-0: campaign 1/2" in said) is not live
    again = StudyView(Console(file=io.StringIO()), [naive, es], 2, lambda: False)
    assert [row.status for row in again.rows] == ["done", "waiting"]


ticks = iter(range(1000))


def test_numbers_as_words() -> None:
    assert [duration(s) for s in (None, 0.4, 45, 89, 150, 5399, 11000)] == [
        "",
        "0 s",
        "45 s",
        "89 s",
        "2 min",
        "90 min",
        "3 h 03",
    ]
    assert (percent(0.1234), percent(None)) == ("12.3%", "")
    assert sparkline([0, 0.5, 1.0], 1.0) == "▁▅█"
    assert sparkline([0.0, 0.0], 0.0) == "▁▁"
    assert len(sparkline([0.1] * 50, 1.0, width=24)) == 24
    assert verdict_mix({"wrong_answer": 3, "passed": 1}) == "wrong answer 75%, passed 25%"
