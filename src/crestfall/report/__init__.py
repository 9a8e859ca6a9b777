"""The HTML report: one self-contained, offline page per run, study or imported run. Never imports the trainer."""

from crestfall.report.build import foreign_page, run_page, study_page, write, write_foreign
from crestfall.report.page import Page, render

__all__ = ["Page", "foreign_page", "render", "run_page", "study_page", "write", "write_foreign"]
