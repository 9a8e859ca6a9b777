"""The page of an imported run."""

from pathlib import Path

import numpy as np
import pytest

from crestfall import report
from crestfall.analysis.analyze import analyze
from crestfall.analysis.trajectory import Series, Trajectory


def collapse(size, name="run", metric="val/acc", scale=1.0):
    x, rng = np.arange(size) / size, np.random.default_rng(0)
    values = 0.3 + 0.4 * np.minimum(1, x / 0.4) - 0.6 * np.clip((x - 0.6) / 0.1, 0, 1)
    entropy = Series(np.arange(size), 1.2 - 0.8 * np.clip((x - 0.4) / 0.1, 0, 1) + rng.normal(0, 0.02, size))
    values = scale * np.clip(values + rng.normal(0, 0.02, size), 0, 1)
    return Trajectory(name, Path("log.jsonl"), metric, "why", np.arange(size), values, signals={"entropy": entropy})


def page_of(trajectory, tmp_path):
    return report.write_foreign(analyze(trajectory), tmp_path / "page.html").read_text()


def test_class_p_value_onset_and_leads_are_told(tmp_path):
    html = page_of(collapse(120), tmp_path)
    assert "rises and collapses" in html
    assert "The fall has a <b>p-value 0.0" in html
    assert "onset of the fall: step" in html
    assert "Other signals before the fall" in html


def test_a_long_log_makes_a_light_page(tmp_path):
    assert len(page_of(collapse(100_000), tmp_path)) < 150_000


def test_a_metric_that_is_no_share_is_not_written_in_per_cent(tmp_path):
    html = page_of(collapse(120, scale=-40.0), tmp_path)
    assert "measured by val/acc. It starts at <b>-" in html


@pytest.mark.parametrize("text", ["</title><script>alert(1)</script>", '"><svg onload=x>\u202e', "\x00\ud800"])
def test_names_from_logs_are_hostile_too(tmp_path, text):
    html = page_of(collapse(60, name=text, metric=text), tmp_path)
    assert html.count("<script") == 1
    assert "<svg onload" not in html
    assert not {"\u202e", "\x00"} & set(html)
