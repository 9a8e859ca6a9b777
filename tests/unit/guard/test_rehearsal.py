"""What would fail when a snapshot is put back is said when the guard is made, or where the state changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crestfall import Guard
from crestfall.control.early_stop import EarlyStop
from crestfall.core.errors import ConfigError, CrestfallWarning

torch = pytest.importorskip("torch")


def run(directory: Path, model: Any, scores: list[float], first: int = 0, optimizer: Any = torch.optim.SGD) -> Any:
    rule = optimizer(model.parameters(), lr=0.1)
    with Guard(directory, control=EarlyStop(patience=2), state={"model": model, "optimizer": rule}) as guard:
        for step, score in enumerate(scores, first):
            decision = guard.observe(step, select=score)
            if guard.carry_out(decision):
                break
    return decision


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: torch.nn.Linear(4, 8), r"model.weight is float32\[8, 4\] here and float32\[4, 4\] there"),
        (lambda: torch.nn.Linear(4, 4, bias=False), "model.bias is in the snapshot alone"),
        (lambda: torch.nn.Linear(4, 4).double(), r"float64\[4, 4\] here"),
    ],
)
def test_another_runs_directory_is_refused_at_once(other: Any, message: str, tmp_path: Path) -> None:
    run(tmp_path, torch.nn.Linear(4, 4), [0.5])
    with pytest.raises(ConfigError, match=message) as error:
        run(tmp_path, other(), [0.4])
    assert "a directory of its own" in str(error.value)


def test_another_optimizer_is_refused_at_once(tmp_path: Path) -> None:
    run(tmp_path, torch.nn.Linear(4, 4), [0.5])
    with pytest.raises(ConfigError, match=r"optimizer is a .*AdamW here and a .*SGD there"):
        run(tmp_path, torch.nn.Linear(4, 4), [0.4], optimizer=torch.optim.AdamW)


def plain(model: Any) -> Any:
    return model


def compiled(model: Any) -> Any:
    return torch.compile(model, backend="eager")


WRAPPERS = {"plain": plain, "compile": compiled, "DataParallel": torch.nn.DataParallel}


@pytest.mark.parametrize("before", WRAPPERS)
@pytest.mark.parametrize("after", WRAPPERS)
def test_wrappers_come_and_go(before: str, after: str, tmp_path: Path) -> None:
    first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    run(tmp_path, WRAPPERS[before](first), [0.1, 0.5, 0.4])
    decision = run(tmp_path, WRAPPERS[after](second), [0.3], first=3)
    assert decision.target_step == 1
    assert torch.equal(first.weight, second.weight)


def test_a_state_that_does_not_come_back_is_found_when_the_guard_is_made(tmp_path: Path) -> None:
    class Forgetful:
        def __init__(self) -> None:
            self.value = torch.zeros(2)

        def state_dict(self) -> dict[str, Any]:
            self.value = self.value + 1
            return {"value": self.value}

        def load_state_dict(self, state: Any) -> None: ...

    with pytest.raises(ConfigError, match=r"does not reproduce it exactly: .*odd\.value"):
        Guard(tmp_path, state={"odd": Forgetful()})


def test_a_model_that_changes_is_said_at_once_and_the_past_is_no_target(tmp_path: Path) -> None:
    model = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    guard = Guard(tmp_path, control=EarlyStop(patience=2), state={"model": model})
    guard.observe(0, select=0.5)
    model.append(torch.nn.Linear(2, 2))
    with pytest.warns(CrestfallWarning, match=r"the state has changed: model\.1\."):
        guard.observe(1, select=0.6)
    guard.carry_out(guard.finish())
    assert len(model) == 2
    guard.close()
    assert len(list((tmp_path / "snapshots").iterdir())) == 2  # the one of before is left alone


def test_a_damaged_snapshot_is_passed_over(tmp_path: Path) -> None:
    weights = np.zeros(2000)
    control = EarlyStop(patience=5)
    with Guard(tmp_path, control=control, state={"w": weights}, in_memory=False) as guard:
        guard.observe(0, select=0.5)
    file = next(tmp_path.glob("snapshots/*/state.safetensors"))
    raw = bytearray(file.read_bytes())
    raw[-100] ^= 1
    file.write_bytes(raw)
    weights[:] = 1
    guard = Guard(tmp_path, control=control, state={"w": weights})
    with pytest.warns(CrestfallWarning, match="is not what was written: the file is damaged; it is set aside"):
        guard.flush()
    guard.observe(1, select=0.3)
    decision = guard.finish()
    assert "step 1 (0.300) takes its place" in decision.reason
    guard.carry_out(decision)
    guard.close()


def test_what_keeps_its_state_elsewhere_is_refused_with_the_way_out(tmp_path: Path) -> None:
    class DeepSpeedEngine(torch.nn.Linear):
        pass

    with pytest.raises(ConfigError, match='keep="best"'):
        Guard(tmp_path, state={"engine": DeepSpeedEngine(2, 2)})
