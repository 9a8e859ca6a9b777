"""What a watched log has shown is kept across rotation and truncation, and replaced where the job went back."""

from __future__ import annotations

from crestfall.analysis.watch.stretch import Past
from crestfall.core.types import Record


def records(points: dict[int, float]) -> list[Record]:
    return [Record(step, value, 0.01) for step, value in points.items()]


def taken(*readings: dict[int, float]) -> Past:
    past = Past()
    for reading in readings:
        past.take("acc", records(reading))
    return past


def known(past: Past) -> dict[int, float]:
    return {r.step: r.value for r in past.records}


def test_a_log_that_grows_is_one_stretch() -> None:
    past = taken({0: 0.1}, {0: 0.1, 1: 0.2}, {0: 0.1, 1: 0.2, 2: 0.3})
    assert known(past) == {0: 0.1, 1: 0.2, 2: 0.3}
    assert past.stretch == 0


def test_rotation_goes_on_from_what_is_known() -> None:
    past = taken({0: 0.1, 1: 0.2}, {2: 0.3}, {2: 0.3, 3: 0.4})
    assert known(past) == {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}
    assert past.stretch == 0


def test_a_log_that_was_cut_takes_nothing_back() -> None:
    past = taken({0: 0.1, 1: 0.2, 2: 0.3}, {0: 0.1}, {})
    assert known(past) == {0: 0.1, 1: 0.2, 2: 0.3}
    assert past.stretch == 0


def test_a_restart_replaces_what_came_after_it() -> None:
    past = taken({0: 0.1, 1: 0.2, 2: 0.3}, {0: 0.1, 1: 0.25})
    assert known(past) == {0: 0.1, 1: 0.25}
    assert past.stretch == 1


def test_a_restart_in_a_rotated_log() -> None:
    past = taken({0: 0.1, 10: 0.2, 20: 0.3}, {10: 0.5})
    assert known(past) == {0: 0.1, 10: 0.5}
    assert past.stretch == 1


def test_another_metric_is_another_stretch() -> None:
    past = taken({0: 0.1, 1: 0.2})
    past.take("reward", records({0: 0.1, 1: 0.2, 2: 0.3}))
    assert past.stretch == 1


def test_it_survives_the_disk_and_forgets_old_points_only() -> None:
    long = {step: step / 1000 for step in range(600)}
    again = Past.from_json(taken(long).to_json())
    again.take("acc", records({**long, 600: 0.6}))
    assert known(again) == {**long, 600: 0.6}
    assert again.stretch == 0
    again.take("acc", records({**long, 599: 0.1}))
    assert again.stretch == 1
