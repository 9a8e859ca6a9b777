"""The HTML report: one self-contained, offline page per run, study or imported run. Never imports the trainer."""

from crestfall.report.build import foreign_page, run_page, study_page, write

__all__ = ["foreign_page", "run_page", "study_page", "write"]
