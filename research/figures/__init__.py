"""Figures for papers and docs (matplotlib, extra `report`): SVG and PDF, from analysis and CSV alone.

Every function returns a matplotlib Figure; `save` writes it. matplotlib is imported when the first figure is drawn.
"""

from research.figures.comparisons import Interval, end_of_chain, intervals, oracles
from research.figures.regime_map import regime_map, write_regime_map
from research.figures.regime_table import RegimeTable, read_table
from research.figures.style import Saved, save
from research.figures.trajectories import aligned, onsets_under_null, single_run

__all__ = [
    "Interval",
    "RegimeTable",
    "Saved",
    "aligned",
    "end_of_chain",
    "intervals",
    "onsets_under_null",
    "oracles",
    "read_table",
    "regime_map",
    "save",
    "single_run",
    "write_regime_map",
]
