"""Arrays in files: parquet (W&B's history artifacts, pandas) and numpy's .npz (stable-baselines3's evaluations)."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from crestfall.analysis.importers.base import History, OneFile
from crestfall.analysis.importers.cells import Frame
from crestfall.analysis.importers.frame import About, histories_or_error
from crestfall.analysis.importers.text import content, run_name, stem_of, suffix_of
from crestfall.core.errors import InputError
from crestfall.core.extras import require
from crestfall.core.registry import register

_NUMPY, _ARROW = (".npz", ".npy"), (".parquet", ".feather", ".arrow")
_RENAMED = {"results": "eval/mean_reward", "successes": "eval/success_rate", "ep_lengths": "eval/mean_ep_length"}
"""stable-baselines3's EvalCallback: {name of an array in its .npz file: key of the same numbers in its log}."""


@register("importer", "arrays")
@dataclass(frozen=True)
class Arrays(OneFile):
    """Parquet and feather (W&B's history artifacts, pandas), numpy's .npz and .npy."""

    order: ClassVar[int] = 5

    def claims(self, path: Path, head: bytes) -> bool:
        return suffix_of(path) in (*_NUMPY, *_ARROW) and head.startswith(
            (b"PAR1", b"ARROW1", b"FEA1", b"PK", b"\x93NUM")
        )

    def read_one(self, path: Path) -> list[History]:
        frame = _numpy_frame(path) if suffix_of(path) in _NUMPY else parquet_frame(path)
        return histories_or_error(frame, About(run_name(path), path, suffix_of(path)[1:]), "a step column and scores")


def parquet_frame(path: Path) -> Frame:
    """The rows of a parquet or feather file. Raises InputError, MissingExtraError."""
    require("pyarrow")
    import pyarrow.feather
    import pyarrow.parquet

    try:
        reader = pyarrow.parquet if suffix_of(path) == ".parquet" else pyarrow.feather
        table = reader.read_table(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a {suffix_of(path)[1:]} file: {str(error).splitlines()[0]}") from None
    return Frame.of({k: v for k, v in dict(row).items() if v is not None} for row in table.to_pylist())


def _numpy_frame(path: Path) -> Frame:
    try:
        loaded = np.load(io.BytesIO(content(path)), allow_pickle=False)
        found = {stem_of(path): loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a numpy file of numbers: {str(error).splitlines()[0]}") from None
    size = max((len(array) for array in found.values() if array.ndim), default=0)
    columns = {
        _RENAMED.get(key, key): (array if array.ndim == 1 else array.reshape(size, -1).mean(axis=1)).tolist()
        for key, array in found.items()
        if array.ndim and len(array) == size and np.issubdtype(array.dtype, np.number)
    }
    return Frame.of_columns(columns)
