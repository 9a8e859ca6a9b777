"""The table of docs/models.md, made again: every family samples, scores and rolls back exactly."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")
pytestmark = pytest.mark.slow


def families() -> list[str]:
    from research.families.zoo import FAMILIES

    return list(FAMILIES)


@pytest.mark.parametrize("name", families())
def test_a_family_is_exact(name: str) -> None:
    from research.families.check import check

    torch.set_num_threads(1)
    result = check(name)
    assert result.right, result


def test_the_page_has_a_row_for_every_family() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert all(f"\n| {name.partition(':')[0]} |" in page for name in families())
