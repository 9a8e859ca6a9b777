"""Files that hold numbers and are read by none of the importers: what they are, and how to export a log from them."""

from __future__ import annotations

from pathlib import Path

from crestfall.analysis.importers.text import suffix_of

KNOWN = (
    "a run directory, trainer_state.json, JSONL, JSON, CSV, a TensorBoard event file, a W&B or MLflow run, "
    "step_*.metrics.json, a notebook, a table or a console log"
)
_PANDAS = "pandas.DataFrame(rows).to_csv('log.csv', index=False)"
_KINDS = {
    ".xlsx .xls .xlsm .ods .numbers": "a spreadsheet; save the sheet with the steps and scores as CSV",
    ".pkl .pickle .joblib .pt .pth .bin .dill": (
        f"a pickle, which crestfall does not open, since that runs code; load it yourself and write its rows: {_PANDAS}"
    ),
    ".xml .toml .ini .cfg": "no format of logs; write one JSON object with step and scores per line (JSONL), or CSV",
    ".h5 .hdf5 .mat .rds .rda .msgpack .avro .orc .nc .zarr .safetensors": (
        f"a binary format without an importer; export a table with a step column and the scores as CSV: {_PANDAS}"
    ),
    ".png .jpg .jpeg .gif .svg .pdf .webp": "a picture; export the numbers behind it as CSV",
    ".doc .docx .odt .rtf .pptx": "a document; paste its table into a .md or .csv file",
    ".eval": "an Inspect log; write it as JSON (`inspect log dump FILE > FILE.json`), and give that",
    ".7z .rar": "an archive of an unknown kind; unpack it, and give the folder",
}
_ADVICE = {suffix: advice for suffixes, advice in _KINDS.items() for suffix in suffixes.split()}


AIM = ".aim"
_AIM = (
    "Aim's own store; export its metrics as CSV, on the page Metrics of Aim's UI or in Python: pandas.concat("
    "m.dataframe() for run in aim.Repo('.').query_metrics().iter_runs() for m in run).to_csv('log.csv')"
)


def advice_on(path: Path) -> str | None:
    """Sentence on how to export what a file holds; None for files of which nothing is known."""
    if AIM in path.parts:
        return f"{Path(*path.parts[: path.parts.index(AIM) + 1])}: this is {_AIM}"
    advice = _ADVICE.get(suffix_of(path))
    return None if advice is None else f"{path}: this is {advice}"


def refusal(path: Path) -> str:
    return advice_on(path) or f"{path}: not a log that crestfall knows; expected {KNOWN}"
