"""Following a training step through the library opens seven files at most. What it runs through, traced."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import crestfall
from crestfall.core.types import Problem

SOURCE = Path(crestfall.__file__).parent
STEP = {
    "campaign.py",
    *("engines/sampling.py", "engines/native.py", "engines/batch.py", "engines/optimizer.py"),
    *("updates/base.py", "updates/reinforce.py"),
}
"""docs/engines.md says what each does."""
ASKED = {"engines/paced.py", "engines/agreement.py", "updates/kl.py", "updates/ewc.py"}
"""Each is asked once whether it is on; without pace and penalties it is not."""


@contextmanager
def traced(files: set[str]) -> Iterator[None]:
    """The files of the testbed in which a function is called."""

    def note(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(SOURCE / "testbed"):
            files.add(str(path.relative_to(SOURCE / "testbed")))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def test_a_training_step_runs_through_seven_files_and_asks_four_whether_they_are_on() -> None:
    pytest.importorskip("torch")
    from crestfall.testbed.campaign import draw
    from crestfall.testbed.updates.reinforce import Reinforce
    from table_policy import make, problems

    engine = make(Reinforce(), [[0.3, 0.0], [0.0, -0.4], [0.1, 0.2]], length=2, train=4, problems_per_step=2)
    engine.begin_campaign(0)
    train: list[Problem] = problems(4)
    files: set[str] = set()
    with traced(files):
        engine.update(engine.rollout(draw(train, engine.config, 0, 1), 0, 1))
    own = {file for file in files if not file.startswith(("policies/", "tasks/"))}  # one call each: sample, score
    assert own == STEP | ASKED
    page = Path("docs/engines.md").read_text(encoding="utf-8")
    assert [file for file in sorted(STEP - {"updates/reinforce.py"} | ASKED) if f"`{file}`" not in page] == []
