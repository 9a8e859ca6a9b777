"""References chosen elsewhere than they are scored, regret seed by seed, and the page of a study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import fakes
from crestfall.core.errors import InputError
from crestfall.testbed.config import load_study, study_config
from crestfall.testbed.session import train
from crestfall.testbed.study import prepare
from research.regret.__main__ import main, make
from research.regret.cells import Cell, chain_lines, read_all, read_cells, read_chains
from research.regret.scores import ALIASES, FIRST_SCORED, GRID, Arm, entries, references
from research.regret.tables import ends, pairs, score

STUDY = Path(__file__).parents[4] / "research" / "studies" / "regret.yaml"


def cell(regime: str, method: str, seed: int, last: float, handed_on: float | None = None, **more: object) -> Cell:
    made = Cell(regime, method, seed, 0.2, last, last, 0.5, 0.6, 0.7, (0.2, last), 0, 100, 0)
    return replace(made, handed_on=last if handed_on is None else handed_on, **more)  # type: ignore[arg-type]


def study() -> list[Cell]:
    return [
        # chosen on 4000 and 4001: the average of x1_4
        *(cell("a", "x1_4", s, 0.5, 0.8) for s in (4000, 4001)),
        *(cell("a", "x1", s, 0.1, 0.7) for s in (4000, 4001)),
        # one lucky seed alone must not win
        cell("a", "x2", 4000, 0.99),
        # scored again
        cell("a", "x1_4", 5000, 0.4, 0.7),
        cell("a", "x1_4", 5001, 0.4, 0.9),
        cell("a", "average", 5000, 0.1, 0.6),
        cell("a", "average", 5001, 0.2, 0.6),
        cell("a", "mine", 5000, 0.75),
        cell("a", "mine", 5001, 0.85),
        cell("a", "mine", 5002, 0.0),  # no reference on this seed
        cell("b", "mine", 5000, 0.5),  # no grid in this regime
    ]


def test_the_reference_is_chosen_on_its_own_seeds_and_scored_on_others() -> None:
    found = references(study())
    assert set(found) == {"a"}
    assert found["a"].arm == Arm("x1_4", "handed_on")
    assert found["a"].chosen_on == (4000, 4001)
    assert found["a"].scores == {5000: 0.7, 5001: 0.9}
    assert found["a"].found == pytest.approx(0.8)


def test_regret_is_what_the_reference_ends_above_on_the_same_seed() -> None:
    cells = study()
    made = {e.name: e for e in entries(cells, references(cells))}
    assert set(made) == {"naive", "average", "mine"}
    assert made["mine"].regrets == pytest.approx({("a", 5000): -0.05, ("a", 5001): 0.05})
    assert made["naive"].regrets == pytest.approx({("a", 5000): 0.6, ("a", 5001): 0.7})
    assert made["average"].by_regime() == pytest.approx({"a": 0.2})
    assert [e.name for e in entries(cells, references(cells))] == ["mine", "average", "naive"]
    assert made["naive"].arm.gain(cells[0]) == pytest.approx(0.1)
    assert made["average"].arm.gain(cells[0]) == pytest.approx(0.2)


def test_a_comparison_is_over_the_seeds_that_both_have() -> None:
    cells = [cell("a", "x1", s, 0.9) for s in (4000, 5000, 5001)]
    cells += [cell("a", "mine", 5000, 0.8), cell("a", "mine", 5001, 0.2), cell("a", "other", 5000, 0.7)]
    made = {e.name: e for e in entries(cells, references(cells))}
    assert made["mine"].above(made["other"]) == pytest.approx({"a": 0.1})
    assert pairs([made["mine"], made["other"]]).rows[0][3:5] == (pytest.approx(0.1), "1 of 1")


def test_competence_is_that_of_the_weights_that_are_scored() -> None:
    cells = [cell("a", "x1", 4000, 0.9), cell("a", "average", 5000, 0.1, 0.8)]
    rows = {row[0]: row[5:7] for row in ends(entries(cells, references(cells))).rows}
    assert rows == {"average": (0.5, 0.7), "naive": (0.5, 0.6)}


def test_an_entry_stands_for_the_arm_of_the_grid_that_it_is() -> None:
    cells = [cell("a", "x1", 4000, 0.9), cell("a", "average", 5000, 0.8, 0.7)]
    assert references(cells)["a"].scores == {5000: 0.8}


def test_a_controller_that_never_acts_gives_the_chain_of_what_is_inside() -> None:
    cells = [cell("a", "x1", 4000, 0.9), *(cell("a", "average", s, 0.9) for s in (5000, 5001, 5002))]
    cells += [cell("a", "meter+average", 5000, 0.7, 0.1), cell("a", "crest2", 5000, 0.0)]
    cells += [cell("a", "crest2", 5001, 0.6, 0.8, looked_at=99), cell("a", "crest2", 5002, 0.5, interventions=1)]
    made = {e.name: e for e in entries(cells, references(cells))}
    assert made["meter"].ends == {("a", 5000): 0.7, ("a", 5001): 0.6}
    assert all(c.looked_at == 0 for c in made["meter"].cells.values())
    assert made["crest2"].ends == {("a", 5000): 0.0, ("a", 5001): 0.8, ("a", 5002): 0.5}


def test_tables_say_who_intervened_where_nothing_was_wrong() -> None:
    cells = [cell("a", "x1", 4000, 0.9), *(cell("a", "average", s, 0.9, 0.5) for s in (5000, 5001))]
    cells += [cell("a", "mine", 5000, 0.9, interventions=1), cell("a", "mine", 5001, 0.9)]
    found = references(cells)
    ranked = entries(cells, found)
    row = {r[0]: r for r in score(ranked, found).rows}["mine"]
    assert "1 of 2" in row
    assert pairs(ranked).rows[0][0] == ranked[0].name


def test_without_a_reference_it_is_said() -> None:
    with pytest.raises(InputError, match="on the same seed"):
        entries([cell("a", "x1", 4000, 0.9)], references([cell("a", "x1", 4000, 0.9)]))


@pytest.mark.slow
def test_the_shipped_study_has_entries_in_files_regimes_and_seeds_of_three_kinds() -> None:
    cells = load_study(str(STUDY)).cells()
    regimes = {c.method.partition(".")[0] for c in cells}
    methods = {c.method.partition(".")[2] for c in cells}
    assert len(regimes) >= 12
    files = {path.stem for path in (STUDY.parents[1] / "regret" / "entries").glob("*.yaml")}
    assert methods - set(GRID) == files
    grid = {c.seed for c in cells if c.method.partition(".")[2] in GRID}
    scored = {c.seed for c in cells if c.method.partition(".")[2] not in GRID}
    assert max(grid) < FIRST_SCORED <= min(scored)
    assert {method for of in ALIASES.values() for method in of} <= files


def test_a_study_becomes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = fakes.options(
        seeds=[5000, 5001],
        chain={"campaigns": 1, "final": 10},
        regimes={"hot": {"update": {"learning_rate": 0.1}}, "cold": {}},
        methods={
            "x1": {"seeds": [4000], "campaign": {"hand_on": "mean"}},
            "average": {"campaign": {"hand_on": "mean"}},
            "early_stop": {"control": {"name": "early_stop"}},
        },
    )
    out = tmp_path / "study"
    for made in prepare(study_config(options), out):
        train(made.config, made.path, {})
    cells = read_cells(out)
    assert {(c.regime, c.method) for c in cells} == {
        (r, m) for r in ("hot", "cold") for m in ("x1", "average", "early_stop")
    }
    assert all(c.rollouts == 6 * 16 for c in cells if c.method != "early_stop")
    assert all((c.looked_at > 0) == (c.method == "early_stop") for c in cells)
    page = tmp_path / "regret.md"
    page.write_text("before\n<!--score-->\n<!--/score-->\nafter\n")
    assert main([str(out), "--out", str(tmp_path / "regret")]) == 0
    text = page.read_text()
    assert text.startswith("before")
    assert "early_stop" in text
    files = {path.name for path in (tmp_path / "regret").iterdir()}
    assert files >= {"table.md", "score.csv", "regimes.md", "pairs.csv", "ends.csv", "profile.svg", "curves.pdf"}
    assert "naive" in (tmp_path / "regret" / "table.md").read_text()
    assert capsys.readouterr().err == ""
    assert "entries" in make([tmp_path / "regret" / "chains.jsonl"], tmp_path / "again", figures=False)
    for name in ("score.csv", "regimes.md", "pairs.csv", "chains.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "regret" / name).read_bytes()


def test_a_directory_that_is_no_such_study_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_published_chains_stand_beside_a_method_of_ones_own(tmp_path: Path) -> None:
    published, mine = tmp_path / "chains.jsonl", tmp_path / "mine.jsonl"
    published.write_text(chain_lines(study()))
    assert sorted(map(repr, read_chains(published))) == sorted(map(repr, study()))
    better = cell("a", "mine", 5000, 0.95)
    mine.write_text(chain_lines([better, cell("a", "other", 5000, 0.3)]))
    cells = read_all([published, mine])
    assert better in cells
    assert len(cells) == len(study()) + 1  # the later source's chain replaces the earlier one's


@pytest.mark.parametrize(
    ("change", "said"),
    [(("seed", "five"), "2: seed: "), (("score", 1), "2: score: "), (("curve_S", None), "2: curve_S: ")],
)
def test_a_line_that_is_no_chain_is_one_line(
    tmp_path: Path, change: tuple[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_ = chain_lines(study()).splitlines()
    file = tmp_path / "chains.jsonl"
    file.write_text(first + "\n" + json.dumps({**json.loads(first), change[0]: change[1]}) + "\n")
    assert main([str(file), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"crestfall: {file}:{said}")
    assert not (tmp_path / "out").exists()


def test_the_published_tables_are_those_of_the_published_chains(tmp_path: Path) -> None:
    """Whatever changes a number in the code changes it on the page, or fails here."""
    docs = STUDY.parents[2] / "docs" / "regret"
    assert main([str(docs / "chains.jsonl"), "--out", str(tmp_path / "regret"), "--no-figures"]) == 0
    for made in (tmp_path / "regret").iterdir():
        assert made.read_text() == (docs / made.name).read_text(), made.name
