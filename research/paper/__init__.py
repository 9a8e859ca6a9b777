"""The paper's tables and figures from a study directory, the paper's figures beside ours.

`python -m research.paper runs/study --out docs/study` remakes everything. Reads run directories through `analysis`;
numbers of the paper are data in `published.csv`.
"""
