"""What a dry run says: bounds on tokens, memory and disk, from a model's configuration alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

import tiny_hf
from crestfall.cli.dry_run import dry_run
from crestfall.core.build import component
from crestfall.testbed.config import RunConfig, run_config
from crestfall.testbed.cost import cost_of, footprint
from crestfall.testbed.policies.size import ModelSize, of_transformers

SIZE = ModelSize(
    parameters=1000,
    trainable=100,
    weight_bytes=2000,
    cast_bytes=0,
    value_bytes=2,
    cache=10,
    saved_bytes=100,
    vocabulary=7,
    sampled_together=200,
    trained_together=300,
    logits_together=400,
)


FISHER = {"name": "reinforce", "ewc": {"name": "fisher"}}


@dataclasses.dataclass(frozen=True)
class Sized:
    """A policy that tells `SIZE`, or fails to."""

    name: ClassVar[str] = "sized"
    max_tokens: int = 32
    error: Any = None

    def model_size(self) -> ModelSize:
        if self.error:
            raise self.error
        return SIZE


def config(policy: Any) -> RunConfig:
    return dataclasses.replace(run_config({"campaign": {"steps": 3}, "chain": {"campaigns": 2}}), policy=policy)


def test_tokens_are_samples_at_their_longest():
    cost = cost_of(config(Sized()))
    train = 6 * 50 * 16
    held_out = (6 + 2) * 60 * 17
    final = 5 * 200 * 17
    assert cost.train_samples == train
    assert cost.grades == train + held_out + final
    assert cost.tokens == cost.grades * 32


@pytest.mark.parametrize(("anchor", "times"), [("start", 2), ("base", 1)])
def test_samples_for_the_fisher_information_are_counted(anchor, times):
    plain = config(Sized())
    ewc = component("ewc", {"name": "fisher", "problems": 3, "samples": 5, "anchor": anchor})
    pulled = dataclasses.replace(plain, update=dataclasses.replace(plain.update, ewc=ewc))
    assert cost_of(pulled).tokens == cost_of(plain).tokens + times * 15 * 32
    assert cost_of(pulled).grades == cost_of(plain).grades


def test_budgets_that_grow_from_campaign_to_campaign_are_counted():
    growing = component("control", {"name": "early_stop", "reading": "budget", "margin": 2})
    assert cost_of(dataclasses.replace(config(Sized()), control=growing)).steps == 3 + 5


def test_a_chain_controller_may_roll_back_and_score_that_on_final():
    plain = config(Sized())
    controlled = dataclasses.replace(plain, care=component("care", {"name": "care_v2"}))
    assert cost_of(controlled).eval_samples == cost_of(plain).eval_samples + 200 * 17


def test_a_dry_run_says_the_memory_of_the_largest_cell():
    plain = config(Sized())
    fisher = dataclasses.replace(plain, update=component("update", FISHER))
    cells = {"plain": plain, "fisher": fisher}
    said = dry_run(Console(quiet=True), Path("out"), cells)["dry_run"]["memory"]
    needed = footprint(fisher).memory
    assert needed is not None
    assert said["copies"] == needed.copies == 1200


def test_memory_is_what_is_always_there_and_the_largest_of_what_takes_turns():
    found = footprint(config(Sized()))
    memory = found.memory
    assert memory is not None
    assert (memory.weights, memory.gradients, memory.adam, memory.copies) == (2000, 400, 800, 800)
    assert (memory.kv_cache, memory.logits, memory.activations) == (200 * 10 * 2, 400 * 24, 300 * 100 + 400)
    assert memory.peak == 4000 + 30_400 + 9_600
    metered = component("update", {"name": "reinforce", "pace": {"name": "kl"}})
    paced = footprint(dataclasses.replace(config(Sized()), update=metered)).memory
    assert paced is not None
    assert paced.activations == memory.activations + 3 * 400
    assert found.checkpoint_bytes == 1200
    assert found.disk_bytes == 8400


def test_what_is_kept_beside_costs_a_copy_each():
    run = config(Sized())
    plain = footprint(run)
    averaged = footprint(dataclasses.replace(run, campaign=dataclasses.replace(run.campaign, hand_on="ema")))
    fisher = footprint(dataclasses.replace(run, update=component("update", FISHER)))
    assert plain.memory is not None
    assert averaged.memory is not None
    assert fisher.memory is not None
    assert averaged.memory.copies == fisher.memory.copies == plain.memory.copies + 400
    assert averaged.checkpoint_bytes == plain.checkpoint_bytes + 400
    assert fisher.checkpoint_bytes == plain.checkpoint_bytes


def test_a_model_that_is_not_there_costs_a_line_and_no_traceback():
    found = footprint(config(Sized(error=OSError("no\nsuch model"))))
    assert found.memory is None
    assert found.unknown == "OSError: no such model"


def test_checkpoints_on_disk_are_as_large_as_said(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from crestfall.store.checkpoints import flat
    from crestfall.testbed.engines.native import NativeEngine

    run = run_config({})
    engine = NativeEngine.create(run)
    try:
        for parameter in engine.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        engine.optimizer.step()
        save_file(dict(flat(engine.snapshot())), tmp_path / "snapshot")
    finally:
        engine.close()
    assert (tmp_path / "snapshot").stat().st_size == pytest.approx(footprint(run).checkpoint_bytes, rel=0.02)


@pytest.mark.parametrize("lora_rank", [None, 4])
@pytest.mark.parametrize("tied", [True, False])
def test_a_transformers_model_is_sized_by_its_config(tmp_path, lora_rank, tied):
    transformers = pytest.importorskip("transformers")
    shape = transformers.Qwen2Config(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    shape.save_pretrained(tmp_path)  # and no weights
    size = of_transformers(
        str(tmp_path),
        revision=None,
        gguf_file=None,
        lora_rank=lora_rank,
        bfloat16=True,
        tokens=1000,
        sampled=5000,
        logits=2000,
        checkpointing=False,
    )
    real = transformers.AutoModelForCausalLM.from_config(shape)
    base = real.num_parameters()
    assert size.cache == 2 * 3 * 2 * 8
    assert size.vocabulary == 128
    assert (size.sampled_together, size.trained_together) == (5000, 1000)
    if lora_rank is None:
        assert (size.parameters, size.trainable) == (base, base)
        assert (size.weight_bytes, size.cast_bytes) == (4 * base, 2 * base)
    else:
        peft = pytest.importorskip("peft")
        options = peft.LoraConfig(r=lora_rank, target_modules="all-linear", task_type="CAUSAL_LM")
        peft.inject_adapter_in_model(options, real)
        adapters = sum(p.numel() for p in real.parameters() if p.requires_grad)
        assert size.trainable == adapters
        assert size.weight_bytes == 2 * base + 4 * adapters


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_activations_are_what_a_forward_pass_saves(tmp_path, dtype):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import numpy as np

    from crestfall.testbed.policies.hf.scoring import states

    shape = {"hidden_size": 192, "intermediate_size": 1024, "num_hidden_layers": 4, "num_key_value_heads": 1}
    policy = tiny_hf.policy(tiny_hf.save(tmp_path, **shape), dtype=dtype)
    loaded, rng = policy.load(), np.random.default_rng(0)
    prompts = [rng.integers(5, 40, 20) for _ in range(2)]
    tokens = [rng.integers(5, 40, 65) for _ in range(32)]
    weights = {p.untyped_storage().data_ptr() for p in loaded.lm.model.parameters()}
    seen = {}

    def pack(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()  # held, or its place is used again
        return tensor

    with loaded.lm.computing(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        states(loaded.lm, prompts, np.arange(32) % 2, tokens, 0)
    size = policy.model_size()
    saved = sum(storage.nbytes() for place, storage in seen.items() if place not in weights)
    if dtype == "bfloat16":  # weights that were cast for the pass are counted as such
        saved -= sum(2 * p.numel() for p in loaded.lm.body.layers.parameters() if p.dim() == 2)
    assert saved / (32 * 64 + 2 * 20) == pytest.approx(size.saved_bytes, rel=0.15)
