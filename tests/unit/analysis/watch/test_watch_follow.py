"""Logs that grow: read again when they change, torn last lines left out, the last good reading kept."""

from __future__ import annotations

import json
import os
from pathlib import Path

from crestfall.analysis.watch.follow import Follower
from crestfall.analysis.watch.memory import Memory
from crestfall.analysis.watch.monitor import Monitor, View, key_in, key_of
from crestfall.control.alert import Alert


def rows(*values: float, start: int = 0) -> str:
    return "".join(json.dumps({"step": start + i, "eval/acc": v}) + "\n" for i, v in enumerate(values))


def points(follower: Follower) -> list[float]:
    return [float(v) for one in follower.followed for run in one.runs for v in run.values_S]


def test_a_path_may_come_later_and_grow(tmp_path: Path) -> None:
    log = tmp_path / "m.jsonl"
    follower = Follower([str(log)])
    assert follower.look()
    assert follower.followed[0].waiting == "nothing there yet"
    assert not follower.look()
    log.write_text(rows(0.1))
    assert follower.look()
    assert points(follower) == [0.1]
    assert follower.followed[0].waiting == ""
    assert not follower.look()


def test_half_a_number_is_no_number(tmp_path: Path) -> None:
    log = tmp_path / "m.csv"
    log.write_text("step,eval_acc\n1,0.71\n2,0.72\n3,0.")
    follower = Follower([str(log)])
    follower.look()
    assert points(follower) == [0.71, 0.72]
    log.write_text("step,eval_acc\n1,0.71\n2,0.72\n3,0.73")
    os.utime(log, (1e9, 1e9))  # nobody has written to it for a while: it is whole
    follower.look()
    assert points(follower) == [0.71, 0.72, 0.73]


def test_truncation_keeps_the_last_good_reading_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "m.jsonl"
    log.write_text(rows(0.1, 0.2))
    follower = Follower([str(log)])
    follower.look()
    log.write_text("")
    assert follower.look()
    assert points(follower) == [0.1, 0.2]
    assert "empty" in follower.followed[0].waiting
    assert not follower.followed[0].refused


def test_a_folder_and_a_pattern_take_in_new_runs(tmp_path: Path) -> None:
    follower = Follower([str(tmp_path / "logs"), str(tmp_path / "*.csv")])
    follower.look()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text(rows(0.1, 0.2))
    (tmp_path / "b.csv").write_text("step,eval_acc\n1,0.5\n2,0.6\n")
    follower.look()
    assert points(follower) == [0.1, 0.2, 0.5, 0.6]


def watched(tmp_path: Path, follower: Follower, monitor: Monitor | None) -> tuple[Monitor, View | None]:
    follower.look()
    run = follower.followed[0].runs[0]
    monitor = monitor or Monitor(key_of(run), Alert(), Memory(tmp_path / "state", key_of(run)))
    return monitor, monitor.take(run, follower.settled(run))


def test_rotation_restart_of_the_watch_and_a_fall_across_them(tmp_path: Path) -> None:
    """The high part stands in a file that has been rotated away before the watch itself was started again."""
    log, state = tmp_path / "m.jsonl", tmp_path
    log.write_text(rows(*[0.7] * 12))
    _, before = watched(state, Follower([str(log)], samples=500), None)
    assert before is not None
    assert before.alarm is None
    log.rename(tmp_path / "m.jsonl.1")
    log.write_text(rows(*[0.4] * 3, start=12))
    monitor, after = watched(state, Follower([str(log)], samples=500), None)
    assert after is not None
    assert after.alarm is not None
    assert after.alarm.step == 12
    assert after.news
    assert len(after.steps_S) == 15
    log.write_text(rows(*[0.4] * 4, start=12))
    _, later = watched(state, Follower([str(log)], samples=500), monitor)
    assert later is not None
    assert later.alarm == after.alarm
    assert not later.news


def test_a_rotation_in_a_folder_is_still_the_same_run(tmp_path: Path) -> None:
    """Its key says what has been told and which command has run: under another one both would happen again."""
    log = tmp_path / "logs" / "m.jsonl"
    log.parent.mkdir()
    log.write_text(rows(*[0.7] * 12))
    follower, keys = Follower([str(log.parent)], samples=500), []
    for step in range(3):
        follower.look()
        keys += [key_of(run) for one in follower.followed for run in one.runs]
        if step == 0:
            log.rename(log.with_name("m.jsonl.1"))  # for a moment there is no other
        log.write_text(rows(*[0.4] * 3, start=12)) if step == 1 else None
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_job_that_goes_back_is_judged_anew(tmp_path: Path) -> None:
    log = tmp_path / "m.jsonl"
    log.write_text(rows(*[0.7] * 10, *[0.3] * 4))
    follower = Follower([str(log)], samples=500)
    monitor, fell = watched(tmp_path, follower, None)
    assert fell is not None
    assert fell.alarm is not None
    log.write_text(rows(*[0.7] * 10, *[0.3] * 4) + rows(0.71, 0.72, start=10))
    _, back = watched(tmp_path, follower, monitor)
    assert back is not None
    assert back.alarm is None
    assert back.stretch == 1


def test_it_says_what_it_cannot_see_without_the_noise(tmp_path: Path) -> None:
    log = tmp_path / "m.jsonl"
    log.write_text(rows(0.7, 0.735, 0.7, 0.4, 0.1, 0.003, 0.003))
    _, view = watched(tmp_path, Follower([str(log)]), None)
    assert view is not None
    assert view.alarm is None
    assert "--samples N" in view.waits
    _, told = watched(tmp_path / "other", Follower([str(log)], samples=200), None)
    assert told is not None
    assert told.alarm is not None


def test_steps_that_are_still_being_filled_are_not_judged(tmp_path: Path) -> None:
    log = tmp_path / "m.jsonl"
    whole = "".join(rows(v, start=s) for s in range(8) for v in (1.0, 1.0, 0.0, 1.0))
    log.write_text(whole + rows(0.0, start=8))
    _, view = watched(tmp_path, Follower([str(log)]), None)
    assert view is not None
    assert view.steps_S[-1] == 7


def test_a_command_is_claimed_once(tmp_path: Path) -> None:
    first, second = Memory(tmp_path, "run"), Memory(tmp_path, "run")
    assert first.claim("scancel 1", 7) is None
    why_not = second.claim("scancel 1", 9)
    assert why_not is not None
    assert "not known" in why_not  # a watch that was killed between the claim and the command
    first.done("scancel 1")
    assert "has run already, at step 7" in str(second.claim("scancel 1", 9))
    assert Memory(tmp_path, "another run").claim("scancel 1", 7) is None
    assert first.tell(0)
    assert not second.tell(0)
    assert second.tell(1)


def test_a_run_that_others_join_in_its_file_is_told_of_once(tmp_path: Path) -> None:
    table, state = tmp_path / "m.csv", tmp_path / "state"
    seeds = {1: [0.7] * 12 + [0.3] * 4, 2: [0.7] * 16}
    lines = [f"{seed},{step},{v}\n" for seed, values in seeds.items() for step, v in enumerate(values)]
    news = []
    for end in (14, 16, 20, 32):
        table.write_text("seed,step,eval_acc\n" + "".join(lines[:end]))
        follower = Follower([str(table)], samples=500)  # of a watch that was started again
        follower.look()
        for run in follower.followed[0].runs:
            key = key_in(state, run)
            view = Monitor(key, Alert(), Memory(state, key)).take(run, True)
            news += [(run.name, key)] if view is not None and view.news else []
    assert [name for name, _ in news] == ["m"]


def test_states_of_checkpoints_that_come_and_go_are_one_run(tmp_path: Path) -> None:
    keys = set()
    follower = Follower([str(tmp_path / "out")])
    for last in (10, 20, 30):
        history = [{"step": s, "reward": 0.5 + 0.001 * s} for s in range(last)]
        state = tmp_path / "out" / f"checkpoint-{last}" / "trainer_state.json"
        state.parent.mkdir(parents=True)
        state.write_text(json.dumps({"log_history": history}))
        if last == 30:
            (tmp_path / "out" / "checkpoint-10" / "trainer_state.json").unlink()
        follower.look()
        keys |= {key_of(run) for run in follower.followed[0].runs}
    assert len(keys) == 1


def test_a_score_that_is_no_number_any_more_is_an_alarm(tmp_path: Path) -> None:
    log, nan = tmp_path / "m.jsonl", float("nan")
    log.write_text(rows(*[0.7] * 9, nan, 0.7, nan, nan))
    _, view = watched(tmp_path, Follower([str(log)]), None)
    assert view is not None
    assert view.alarm is None  # the next value may be a number
    log.write_text(log.read_text() + rows(nan, start=13))
    _, view = watched(tmp_path, Follower([str(log)]), None)
    assert view is not None
    assert view.alarm is not None
    assert (view.alarm.step, view.alarm.what, view.news) == (11, "is broken", True)
    sparse = tmp_path / "sparse.jsonl"
    sparse.write_text(rows(*[0.7 if step % 10 == 0 else nan for step in range(88)]))
    _, view = watched(tmp_path / "other", Follower([str(sparse)]), None)
    assert view is not None
    assert view.alarm is None
