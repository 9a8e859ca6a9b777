"""The launch files for accelerate, as far as they can be read without a GPU: its own loader takes them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from unittest.mock import patch

import pytest

pytest.importorskip("accelerate")

pytestmark = pytest.mark.trl

FILES = sorted(Path(str(resources.files("crestfall.testbed") / "configs" / "accelerate")).glob("*.yaml"))


def environment(config: Path) -> dict[str, str]:
    """What `accelerate launch --config_file` tells the processes that it starts."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils import prepare_multi_gpu_env

    words = ["--config_file", str(config), "--main_process_ip", "10.0.0.1", "-m", "crestfall", "run", "quickstart"]
    with patch("torch.cuda.device_count", return_value=8), patch("torch.cuda.is_available", return_value=True):
        args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
        told: dict[str, str] = prepare_multi_gpu_env(args)
    return told


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_reads_it(path: Path) -> None:
    told = environment(path)
    assert told["ACCELERATE_MIXED_PRECISION"] == "no"
    assert "ACCELERATE_USE_FSDP" not in told


def test_there_is_one() -> None:
    assert [path.stem for path in FILES] == ["ddp"]
