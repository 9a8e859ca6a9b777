"""The launch files for accelerate, as far as they can be read without a GPU: its own loader takes them."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Any
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
def test_accelerate_reads_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = environment(path)
    assert told["ACCELERATE_MIXED_PRECISION"] == "no"
    if path.stem == "ddp":
        assert "ACCELERATE_USE_FSDP" not in told
        return
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    from accelerate import FullyShardedDataParallelPlugin

    plugin: Any = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"


def test_there_are_some_and_they_say_what_was_not_tested() -> None:
    assert [path.stem for path in FILES] == ["ddp", "fsdp2", "fsdp2_nodes"]
    assert all("UNTESTED" in path.read_text() for path in FILES)
