"""Every configuration that comes with the package is read as strictly as a user's, and says what its comments say."""

from __future__ import annotations

import pytest

from crestfall.core.errors import ConfigError
from crestfall.testbed.config import load_run, load_study, shipped

PAPER = [name for name in shipped() if name.startswith("paper/")]


@pytest.mark.parametrize("name", shipped())
def test_it_is_what_it_says(name: str) -> None:
    try:
        assert load_study(name).cells()
    except ConfigError as error:
        if "describes a single run" not in str(error):
            raise
        assert load_run(name)


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_s_fixed_numbers_hold_in_every_cell(name: str) -> None:
    cells = load_study(name).cells()
    for cell in cells:
        assert cell.update.learning_rate == 1e-6, cell.method
        assert (cell.campaign.train, cell.campaign.report, cell.campaign.group_size) == (50, 30, 16)
        assert cell.campaign.temperature == 0.7
    assert len({cell.method for cell in cells}) > 2


def test_one_cell_of_a_study_can_be_run_by_itself() -> None:
    study = load_study("quickstart")
    cell = study.cell("es", 7)
    assert load_run("quickstart", ["method=es", "seed=7"]) == cell
    assert load_run("quickstart", ["method=es", "seed=7", "campaign.steps=3"]).campaign.steps == 3
    for words in ([], ["method=es"], ["method=em", "seed=7"]):
        with pytest.raises(ConfigError, match="name one of its cells with method=NAME seed=N; methods: naive, es"):
            load_run("quickstart", words)


def test_a_name_in_a_folder_and_a_wrong_one(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "paper/qwen2.5-3b" in shipped()
    with pytest.raises(ConfigError, match=r"did you mean 'paper/qwen2\.5-3b'"):
        load_study("paper/qwen2.5-3")
    (tmp_path / "own.yaml").write_text("seed: 3\n")
    assert load_run("own.yaml").seed == 3
