"""Figures: what is drawn is what the data say, files come whole and always the same, bad tables get one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from crestfall.analysis.trajectory import read_study
from crestfall.core.entry import guarded
from crestfall.core.errors import InputError
from research import figures

pytest.importorskip("matplotlib", reason="NO MATPLOTLIB: extra `report` is not installed, no figure was drawn")

HEADER = "learning_rate,baseline,reward,seed,outcome,start,peak,end,gap_se\n"
TABLE = HEADER + "".join(
    f"{rate},{baseline},01,{seed},{outcome},0.2,{peak},{end},0.02\n"
    for rate, outcome, peak, end in (("1e-4", "rise_and_hold", 0.5, 0.48), ("8e-4", "rise_and_collapse", 0.5, 0.05))
    for baseline in ("none", "batch_mean")
    for seed in (1, 2, 3)
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "regime.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="module")
def methods(tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parents[2] / "report"))
    from synthetic_runs import write_study

    return read_study(write_study(tmp_path_factory.mktemp("s") / "s", campaigns=2)).by_method()


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_factors_are_the_columns_that_measure_nothing(table):
    read = figures.read_table(table)
    assert read.factors == ("learning_rate", "baseline")
    assert read.constant == (("reward", "01"),)
    assert len(read.cells()) == 4


def test_levels_are_sorted_by_size(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + "".join(f"{r},x,01,1,dies,,,,\n" for r in ("1e-3", "2e-4", "none", "10")))
    assert figures.read_table(path).levels(0) == ["2e-4", "1e-3", "10", "none"]


def test_influence_is_the_share_of_the_collapse_that_a_factor_explains(table):
    read = figures.read_table(table)
    assert read.explained(0) == pytest.approx(1.0)
    assert read.explained(1) == pytest.approx(0.0)
    assert figures.read_table(table, ["baseline", "learning_rate"]).by_influence().factors[0] == "learning_rate"


def test_every_seed_is_a_mark(table):
    figure = figures.regime_map(figures.read_table(table))
    marks = next(axes for axes in figure.axes if axes.get_title("left") == "seeds")
    assert [line.get_marker() for line in marks.lines].count("v") == 6
    assert [line.get_marker() for line in marks.lines].count("o") == 6


def test_a_table_without_scores_or_with_one_row_is_drawn(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("lr,seed,outcome,start,peak,end\n1e-4,1,dies,,,\n2e-4,1,dies,,,\n")
    figures.save(figures.regime_map(figures.read_table(path)), tmp_path / "map")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'seed'"),
        (HEADER, "no rows"),
        (HEADER + "1,none,01,1,explodes,0,0,0,0\n", r"t\.csv:2: outcome 'explodes' is none of"),
        (HEADER + "1,none,01,1,dies,0,x,0,0\n", r"t\.csv:2: peak 'x' is not a number"),
        (HEADER + "1,none,01,1,dies,0\n", r"t\.csv:2: has more or fewer fields"),
    ],
)
def test_a_bad_table_gets_one_line(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        figures.read_table(path)
    assert "\n" not in str(raised.value)


def test_a_figure_is_the_same_each_time(table, tmp_path):
    first = figures.write_regime_map(table, tmp_path / "a")
    again = figures.write_regime_map(table, tmp_path / "b")
    assert first.svg.read_bytes() == again.svg.read_bytes()
    assert first.pdf.read_bytes() == again.pdf.read_bytes()
    assert not list(tmp_path.glob(".*.part"))


def test_a_single_run_names_its_peak_and_shows_its_companions(methods):
    figure = figures.single_run(methods["naive"][0].campaigns[0], "title")
    assert any(text.startswith("peak ") for text in texts(figure))
    assert "entropy\n(nats)" in texts(figure)


def test_aligned_counts_only_clear_falls(methods):
    figure = figures.aligned(methods)
    assert any(text.startswith("onset of") for text in texts(figure))
    assert "naive (4 campaigns)" in texts(figure)


def test_oracles_and_intervals_are_drawn(methods, tmp_path):
    rows = {"naive": figures.Interval(0.1, 0.05, 0.2, (0.1, 0.12)), "es": figures.Interval(0.5, None, None, (0.5,))}
    for name, figure in (("o", figures.oracles(methods)), ("i", figures.intervals(rows, base=0.2, note="bootstrap"))):
        saved = figures.save(figure, tmp_path / name)
        assert saved.svg.stat().st_size > 2_000
        assert saved.pdf.stat().st_size > 2_000


@pytest.mark.parametrize("draw", [figures.aligned, figures.oracles, figures.intervals])
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(InputError):
        draw({})


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, research.figures, crestfall.report; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_command_draws_a_study_and_a_map(table, tmp_path, capsys):
    from synthetic_runs import write_study

    from research.figures.__main__ import main

    study = write_study(tmp_path / "s", campaigns=1, seeds=(1, 2, 3, 4))
    assert main(["study", str(study), str(tmp_path / "out")]) == 0
    assert main(["regime", str(table), str(tmp_path / "out")]) == 0
    written = {Path(line).name for line in capsys.readouterr().out.splitlines()}
    stems = ("aligned", "oracles", "single_run", "end_of_chain", "regime_map")
    assert written == {f"{stem}.{kind}" for stem in stems for kind in ("svg", "pdf")}
    assert guarded(lambda: main(["study", str(tmp_path), str(tmp_path / "out")])) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
