"""The documentation site: what mkdocs builds from `docs/` (`make docs`), and the pages that are made from the code."""
