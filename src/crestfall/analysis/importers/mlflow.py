"""MLflow's file store: `mlruns/EXPERIMENT/RUN/metrics/KEY`, lines of `timestamp value step`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from crestfall.analysis.importers.base import History
from crestfall.analysis.importers.text import read_text
from crestfall.core.errors import InputError
from crestfall.core.registry import register


@register("importer", "mlflow")
@dataclass(frozen=True)
class MLflow:
    """MLflow run folders (file store)."""

    order: ClassVar[int] = 0

    def claims(self, path: Path, head: bytes) -> bool:
        return _run_of(path) is not None

    def group(self, path: Path) -> Hashable:
        return _run_of(path)

    def read(self, paths: Sequence[Path]) -> list[History]:
        run = _run_of(paths[0])
        assert run is not None
        named = run / "tags" / "mlflow.runName"
        history = History(read_text(named).strip() if named.is_file() else run.name, run, "MLflow")
        for path in paths:
            key = path.relative_to(run / "metrics").as_posix()
            try:
                points = [line.split() for line in read_text(path).splitlines() if line.strip()]
                steps = [int(point[2]) if len(point) > 2 else i for i, point in enumerate(points)]
                history.add(key, steps, [float(point[1]) for point in points])
            except (ValueError, IndexError, OverflowError) as error:
                raise InputError(f"{path}: expected lines of `timestamp value step`: {error}") from None
        return [history]


def _run_of(path: Path) -> Path | None:
    """The run's folder, where a file lies below its `metrics`."""
    for parent in path.parents:
        if parent.name == "metrics" and (meta := parent.parent / "meta.yaml").is_file():
            return None if "lifecycle_stage: deleted" in meta.read_text(encoding="utf-8") else parent.parent
    return None
