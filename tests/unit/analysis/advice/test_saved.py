"""Checkpoints are found where trainers put them, and nothing else is taken for one."""

from pathlib import Path

import pytest

from crestfall.analysis.advice.saved import saved_beside


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


CASES = [
    (
        "out/checkpoint-30/trainer_state.json",
        "out/checkpoint-20/model.safetensors out/checkpoint-30/a.safetensors",
        [20, 30],
    ),
    (
        "out/trainer_state.json",
        "out/checkpoint-9/adapter_model.safetensors out/checkpoint-10/pytorch_model.bin",
        [9, 10],
    ),
    ("out/runs/Nov26_host/events.out.tfevents.1", "out/checkpoint-5/model.safetensors", [5]),
    ("run/metrics.jsonl", "run/weights/step_20/model.safetensors run/checkpoints/step_20/trainer/r0.pt", [20]),
    ("exp/console.log", "exp/global_step_15/actor/model_world_size_1_rank_0.pt", [15]),
    (
        "logs/exp7.jsonl",
        "checkpoints/proj/exp7/global_step_5/actor/m.pt checkpoints/proj/exp8/global_step_6/actor/m.pt",
        [5],
    ),
    (
        "ckpt/log.txt",
        "ckpt/_actor/global_step40/mp.pt ckpt/_critic/global_step40/mp.pt ckpt/global_step40_hf/a.safetensors",
        [40],
    ),
    ("nemo/train.log", "nemo/step_7/policy/weights/__0_0.distcp", [7]),
    (
        "version_0/metrics.csv",
        "version_0/checkpoints/epoch=1-step=200.ckpt version_0/checkpoints/epoch=3-step=400.ckpt",
        [200, 400],
    ),
    ("sb3/progress.csv", "sb3/rl_model_1000_steps.zip", [1000]),
    ("areal/log.txt", "areal/epoch0epochstep19globalstep19/model.safetensors", [19]),
    ("slime/log.txt", "slime/iter_0000100/__0_0.distcp", [100]),
    ("out/log.jsonl", "out/_crestfall/01/snapshots/000003-step-12/state.safetensors", [12]),
    ("p/wandb/run-1/run-1.wandb", "p/output/checkpoint-4/model.safetensors", [4]),
]


@pytest.mark.parametrize(("log", "files", "steps"), CASES)
def test_checkpoints_of_every_trainer_are_found(tmp_path, log, files, steps):
    put(tmp_path, log, *files.split())
    assert [s.step for s in saved_beside(tmp_path / log).saved] == steps


def test_the_path_names_what_to_load(tmp_path):
    put(tmp_path, "out/trainer_state.json", "out/checkpoint-20/model.safetensors")
    (saved,) = saved_beside(tmp_path / "out/trainer_state.json").saved
    assert saved.path == tmp_path / "out/checkpoint-20"
    assert saved_beside(tmp_path / "out").saved == (saved,)


@pytest.mark.parametrize(
    "file",
    [
        "checkpoint-20/trainer_state.json",  # the weights are gone
        "tmp-checkpoint-20/model.safetensors",  # still being written
        "checkpoint-best/model.safetensors",
        "timestep_20/model.safetensors",
        "step_20.json",
        "data/shard-20/part.bin",
    ],
)
def test_what_is_no_checkpoint_is_not_taken_for_one(tmp_path, file):
    put(tmp_path, "log.jsonl", file)
    assert saved_beside(tmp_path / "log.jsonl").saved == ()


def test_a_temperature_is_not_temporary(tmp_path):
    put(tmp_path, "temperature_0.7/log.jsonl", "temperature_0.7/sub/checkpoint-1/model.safetensors")
    assert len(saved_beside(tmp_path / "temperature_0.7/log.jsonl").saved) == 1


def test_checkpoints_of_other_runs_are_not_named(tmp_path):
    put(tmp_path, "logs/x.jsonl", "checkpoints/a/global_step_5/m.pt", "checkpoints/b/global_step_6/m.pt")
    found = saved_beside(tmp_path / "logs/x.jsonl")
    assert found.saved == ()
    assert "2 runs" in found.note


def test_in_a_folder_for_everything_only_what_bears_the_logs_name_counts(tmp_path):
    put(tmp_path, "x.log", *(f"run{i}/checkpoint-5/m.pt" for i in range(9)))
    found = saved_beside(tmp_path / "x.log")
    assert (found.saved, found.note) == ((), "")
    put(tmp_path, "x/checkpoint-7/m.pt")
    assert [s.step for s in saved_beside(tmp_path / "x.log").saved] == [7]


def test_the_checkpoints_of_one_of_several_logs_are_not_every_logs(tmp_path):
    put(tmp_path, "a.log", "other/checkpoint-5/m.pt")
    assert [s.step for s in saved_beside(tmp_path / "a.log").saved] == [5]
    put(tmp_path, "b.log", "c.log")
    found = saved_beside(tmp_path / "a.log")
    assert found.saved == ()
    assert "checkpoints of a run lie" in found.note


def test_tinkers_lie_with_its_service(tmp_path):
    put(tmp_path, "metrics.jsonl")
    row = '{"name": "%06d", "batch": %d, "state_path": "tinker://u/weights/%d", "sampler_path": "tinker://u/sampler/%d"}\n'
    (tmp_path / "checkpoints.jsonl").write_text("".join(row % (b, b, b, b) for b in (20, 40)))
    found = saved_beside(tmp_path / "metrics.jsonl").saved
    assert [(s.step, s.path) for s in found] == [(20, "tinker://u/sampler/20"), (40, "tinker://u/sampler/40")]


def test_each_run_of_a_folder_has_its_own(tmp_path):
    put(tmp_path, "a/log.jsonl", "a/checkpoint-1/m.pt", "b/log.jsonl", "b/checkpoint-2/m.pt")
    assert [s.step for s in saved_beside(tmp_path / "b/log.jsonl").saved] == [2]


def test_our_snapshots_are_those_of_the_campaign_and_whole(tmp_path):
    whole = "checkpoints/campaign-001-step-003"
    put(tmp_path, "run.json", f"{whole}/DONE", f"{whole}/snapshot.safetensors")
    put(tmp_path, "checkpoints/campaign-001-step-004/snapshot.safetensors")
    put(tmp_path, "checkpoints/campaign-000-step-009/DONE", "checkpoints/campaign-000-step-009/snapshot.safetensors")
    assert [(s.step, s.path.name) for s in saved_beside(tmp_path, 1).saved] == [(3, "campaign-001-step-003")]


def test_a_log_that_is_not_there_has_none(tmp_path):
    assert saved_beside(tmp_path / "stdin").saved == ()


def test_folders_without_weights_are_said_to_be_empty(tmp_path):
    put(tmp_path, "checkpoint-20/trainer_state.json", "checkpoint-40/trainer_state.json")
    found = saved_beside(tmp_path / "checkpoint-40/trainer_state.json")
    assert found.saved == ()
    assert found.note == f"no weights are left in {tmp_path / 'checkpoint-20'} (2 such folders)"


def test_a_log_beside_a_run_directory_of_ours_takes_none_of_its_checkpoints(tmp_path):
    put(tmp_path, "log.csv", "r1/run.json", "r1/events.jsonl", "r1/checkpoints/campaign-000-step-003/model.safetensors")
    assert saved_beside(tmp_path / "log.csv").saved == ()
