"""Text, table, `--json` and page give the same numbers of a run, over all golden logs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from crestfall import report
from crestfall.analysis.analyze import Analysis, analyze
from crestfall.analysis.importers.load import load
from crestfall.cli.analyze import show, show_table, write_pages
from crestfall.report.headline import formatter
from curves import both, lines, written

LOGS = Path(__file__).parent / "logs"
NAMES = sorted(p.name for p in LOGS.iterdir() if p.name not in ("wandb.csv",))
LEVELS = ("start", "peak", "end")


def printed(a: Analysis, table: bool) -> str:
    console = Console(file=io.StringIO(), width=400)
    show_table(console, [a]) if table else show(console, a)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def agree(a: Analysis, tmp_path: Path) -> None:
    said, text, table = a.to_json(), printed(a, False), printed(a, True)
    page = report.write_foreign(a, tmp_path / "page.html").read_text()
    page = re.sub(r"<[^>]+>", "", page)
    show_on_page = formatter(a.trajectory)
    row = table.splitlines()[1]
    for name in LEVELS:
        value, interval = said[name], said["intervals"][name]
        low_high = "noise unknown" if interval is None else f"{interval[0]:.3f}, {interval[1]:.3f}"
        assert f"{name:<8} {value:.3f} [{low_high}]" in text
        assert f"{value:.3f}" in row.split()
        with_interval = "" if interval is None else f" [{show_on_page(interval[0])}, {show_on_page(interval[1])}]"
        assert f"{show_on_page(value)}{with_interval}" in page
    assert f"at step {said['peak_step']}" in text
    assert str(said["peak_step"]) in row.split()
    if said["onset"] is not None:
        assert f"step {said['onset']}: the fall begins" in text
        assert f"step {said['onset']:,}" in page
        assert str(said["onset"]) in row.split()
    if said["intervals"]["fall"] is not None:
        assert f"p-value  {said['p_value']:.3f} " in text
        assert f"{said['p_value']:.3f}" in row.split()
        assert (said["p_value"] < 0.05) is (said["intervals"]["fall"][0] > 0)
    assert said["class"].replace("_", " ") in text.splitlines()[0]
    assert said["class"].replace("_", " ") in row
    for note in (*a.cautions, *a.trajectory.notes):
        assert note in text


@pytest.mark.parametrize("name", NAMES)
def test_of_golden_logs(name: str, tmp_path: Path) -> None:
    for trajectory in load([LOGS / name]):
        agree(analyze(trajectory), tmp_path)


@pytest.mark.parametrize("falls", [True, False])
def test_of_curves(falls: bool, tmp_path: Path) -> None:
    text = both(lambda s, v, run: f"[{run}] step {s} reward: {v} kl: {0.01 * s}\n")
    fell, held = load([written(tmp_path, "x.log", text)])
    agree(analyze(fell if falls else held), tmp_path)


def test_without_heavy_packages_the_rest_is_read(tmp_path: Path) -> None:
    """torch, pandas, wandb, tensorboard and pyarrow are not there: console logs, tables and JSON are read, and what
    needs one of them says which."""
    written(tmp_path, "a.log", lines(lambda s, v: f"step {s} reward: {v}\n"))
    written(tmp_path, "b.csv", "step,reward\n" + lines(lambda s, v: f"{s},{v / 2}\n"))
    written(tmp_path, "c/run-1.wandb", b":W&Bxxx")
    written(tmp_path, "d/events.out.tfevents.1", b"x" * 40)
    script = (
        "import sys\n"
        "for name in ('torch', 'pandas', 'wandb', 'tensorboard', 'pyarrow', 'scipy', 'transformers'):\n"
        "    sys.modules[name] = None\n"
        "from crestfall.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "analyze", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rise and collapse") == 2
    assert "wandb" in done.stderr
    assert "tensorboard" in done.stderr


def test_one_page_over_many_runs(tmp_path: Path) -> None:
    text = both(lambda s, v, run: f"[<b>{run}] step {s} reward: {v} kl: {0.01 * s}\n")
    analyses = [analyze(t) for t in load([written(tmp_path, "x.log", text)])]
    pages = write_pages(analyses, tmp_path / "pages")
    html = pages[-1].read_text()
    assert pages[-1].name == "index.html"
    assert "1 of 2 runs end below their peak" in html
    assert "<b>" not in html
    for a, page in zip(analyses, pages, strict=False):
        assert f'href="{page.name}"' in html
        for name in LEVELS:
            assert f">{getattr(a.levels, name).value:.3f}<" in html
