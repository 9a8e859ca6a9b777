"""What a Hugging Face policy has of its own; `contract/test_policies.py` holds what is asked of every policy."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tiny_hf
from crestfall.cli.main import main
from crestfall.core.build import component
from crestfall.core.errors import ConfigError, InputError, MissingExtraError
from crestfall.core.types import CallCase, CallTests, Problem
from crestfall.store.checkpoints import flat
from crestfall.testbed.engines.batch import by_row
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.policies.base import distinct, separate
from crestfall.testbed.policies.hf import Lora, model, probe, replay, scoring
from crestfall.testbed.policies.hf.folded import folded
from crestfall.testbed.policies.hf.load import check
from crestfall.testbed.policies.hf.scoring import batches, blocks

pytest.importorskip("transformers")

TESTS = CallTests("f", (CallCase((1,), 1),))
PROBLEM = Problem("p", "square it", TESTS, "p", stub="def f(x):\n")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return tiny_hf.save(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return tiny_hf.save(tmp_path_factory.mktemp("chat"), chat=True)


@pytest.fixture(scope="module")
def loaded(plain):
    return tiny_hf.policy(plain).load()


def draw(policy, problems=None, group=4, length=16, **options):
    problems = problems or tiny_hf.problems("train", 3)
    uniforms = np.random.default_rng(0).random((len(problems), group, length), dtype=np.float32)
    return policy.sample(problems, uniforms, 1.0, **options)


# --- prompts and programs -------------------------------------------------------------------------------------------


def test_plain_prompts_end_with_the_stub_once(loaded):
    def shown(problem):
        return loaded.text.tokenizer.decode(loaded.text.encode(problem))

    assert shown(PROBLEM) == "square it\ndef f(x):\n"
    assert shown(replace(PROBLEM, prompt="def f(x):\n")) == "def f(x):\n"


def test_chat_prompts_are_a_users_message_and_the_turn_of_the_assistant(chat):
    text = tiny_hf.policy(chat).load().text
    assert text.chat
    shown = text.tokenizer.decode(text.encode(replace(PROBLEM, stub="")))
    assert shown == "<|user|>\nsquare it<eos>\n<|assistant|>\n"
    assert "def f(x):" in text.tokenizer.decode(text.encode(PROBLEM))
    assert not tiny_hf.policy(chat, prompt="plain").load().text.chat


WHOLE = "def f(x):\n    return x\n"


def test_an_answer_begins_with_its_prefill(chat):
    text = tiny_hf.policy(chat, prefill="{stub}    return", stop=("\n",)).load().text
    problem = Problem("p", "Double x.", CallTests("f", (CallCase((1,), 2),)), "p", stub="def f(x):\n")
    asked = text._decode(text.encode(problem))
    assert asked.endswith("\ndef f(x):\n    return")
    assert text.program(problem, " 2 * x\nand so on") == "def f(x):\n    return 2 * x"
    tokens = text.tokenizer(" 2 * x\n")["input_ids"]
    assert text.ended(problem, tokens)
    assert not text.ended(problem, tokens[:-1])


@pytest.mark.parametrize(
    ("stub", "answer", "program"),
    [
        ("", f"Sure:\n```python\n{WHOLE}```\nDone.", WHOLE),
        (
            "import math\ndef f(x):\n    '''Doc.'''\n",
            f"```python\n{WHOLE}```",
            "import math\ndef f(x):\n    '''Doc.'''\n" + WHOLE,
        ),
        ("def f(x):", f"```python\n{WHOLE}```", WHOLE),
        ("def f(x):\n", "```python\n    return x\n```", WHOLE),
        ("def f(x):\n", "I cannot.", ""),
    ],
    ids=["whole", "stub kept for its import", "stub that is no program", "body", "no code"],
)
def test_the_program_of_a_chat_answer(chat, stub, answer, program):
    text = tiny_hf.policy(chat).load().text
    assert text.program(replace(PROBLEM, stub=stub), answer) == program


def test_a_stop_string_ends_a_sample_and_is_cut_off(loaded):
    problems = [replace(p, meta={"stop": ("\n",)}) for p in tiny_hf.problems("train", 3)]
    free, stopped = draw(loaded), draw(loaded, problems)
    cut = [n for n, text in enumerate(free.texts_N) if "\n" in text]
    assert cut
    for n in cut:
        assert len(stopped.tokens_N[n]) < 16 or not stopped.truncated_N[n]
        assert stopped.tokens_N[n].tolist() == free.tokens_N[n].tolist()[: len(stopped.tokens_N[n])]
        assert not stopped.truncated_N[n]
        assert stopped.programs_N[n] == problems[0].stub + free.texts_N[n].split("\n")[0]


def test_every_end_of_the_model_ends_a_sample_and_is_not_part_of_the_text(loaded):
    problems = tiny_hf.problems("train", 12)
    samples = draw(loaded, problems, group=8, length=24)
    ends = {int(tokens[-1]) for tokens, cut in zip(samples.tokens_N, samples.truncated_N, strict=True) if not cut}
    assert ends == {1, 2}
    assert not any("<" in text for text in samples.texts_N)


def test_what_the_generation_config_says_does_not_matter(plain, loaded, tmp_path):
    said = json.loads((plain / "generation_config.json").read_text())
    assert said["repetition_penalty"] == 2.0
    assert said["top_k"] == 1
    other = tiny_hf.save(tmp_path)
    (other / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    a, b = draw(loaded), draw(tiny_hf.policy(other).load())
    assert [t.tolist() for t in a.tokens_N] == [t.tolist() for t in b.tokens_N]
    assert len({tuple(t) for t in a.tokens_N}) > 1  # top_k 1 would draw one completion a problem


# --- memory ---------------------------------------------------------------------------------------------------------


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_logits_of_all_tokens_never_exist_forward_or_backward(tmp_path, monkeypatch):
    vocabulary = 4000
    policy = tiny_hf.policy(tiny_hf.save(tmp_path, vocab_size=vocabulary), tokens_per_microbatch=10_000).load()
    samples = draw(policy, group=8)
    rows = distinct(samples)
    tokens = sum(len(samples.tokens_N[n]) for n in rows.first_R)

    def gradient():
        policy.lm.model.zero_grad(set_to_none=True)
        with Largest() as largest:
            policy.accumulate(rows, 1.0, lambda scores: scores.logprobs_RT.sum())
        return policy.lm.model.get_input_embeddings().weight.grad.clone(), largest.elements

    whole, without = gradient()
    monkeypatch.setattr(model, "LOGITS_PER_CHUNK", 10 * vocabulary)
    chunked, bounded = gradient()
    weights = policy.lm.model.get_input_embeddings().weight.numel()
    assert without >= tokens * vocabulary > 2 * weights
    assert bounded <= max(weights, 10 * vocabulary)
    torch.testing.assert_close(chunked, whole, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("budget", [10, 100, 250, 10_000])
def test_microbatches_hold_every_row_once_and_no_more_tokens_than_allowed(budget, shared):
    prompts, problem = np.array([30, 5, 60]), np.repeat([0, 1, 2], 4)
    lengths = np.array([5, 9, 30, 30, 31, 20, 7, 1, 1, 2, 3, 4])
    parts = list(batches(prompts, problem, lengths, budget, shared))
    assert sorted(np.concatenate(parts)) == list(range(12))
    for part in parts:
        own, longest = prompts[problem[part]], lengths[part].max()
        tokens = len(part) * (own + lengths[part]).max()
        if shared:
            tokens = len(set(problem[part])) * own.max() + len(part) * longest
        assert tokens <= budget or len(part) == 1
    assert len(parts) == 1 or budget < 10_000


@pytest.mark.parametrize("budget", [10, 100, 250, 10_000])
def test_blocks_cover_every_sample_once_within_the_budget(budget):
    prompts, group, longest = [10, 40, 20], 4, 10
    seen = []
    for problems, columns in blocks(prompts, group, longest, budget):
        seen += [(p, c) for p in problems.tolist() for c in columns.tolist()]
        width = max(prompts[p] for p in problems) + longest
        assert len(problems) * len(columns) * width <= budget or len(problems) * len(columns) == 1
        assert len(columns) == group or len(problems) == 1
    assert sorted(seen) == [(p, c) for p in range(3) for c in range(group)]


# --- weights --------------------------------------------------------------------------------------------------------


def test_inputs_go_where_a_trainer_has_moved_the_model(plain):
    lm = tiny_hf.policy(plain).load().lm
    lm.model.to("meta")
    assert lm.device.type == "meta"


def test_tied_weights_are_one_parameter(loaded):
    names = loaded.named_parameters()
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names
    assert loaded.lm.model.lm_head.weight is names["model.embed_tokens.weight"]


def test_only_adapters_are_trained_and_they_are_the_same_every_time(plain):
    state = torch.random.get_rng_state()
    one, other = (tiny_hf.policy(plain, lora=Lora(rank=4)).load() for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    parameters = one.named_parameters()
    assert parameters
    assert all("lora_" in name for name in parameters)
    assert all(torch.equal(p, other.named_parameters()[name]) for name, p in parameters.items())
    frozen = {name: p.detach().clone() for name, p in one.lm.model.named_parameters() if name not in parameters}
    one.accumulate(distinct(draw(one)), 1.0, lambda scores: scores.logprobs_RT.sum())
    torch.optim.AdamW(parameters.values(), lr=0.1).step()
    assert all(torch.equal(p, frozen[name]) for name, p in one.lm.model.named_parameters() if name in frozen)


def test_adapters_are_folded_in_to_sample_and_the_weights_are_the_same_bits_after_it(plain):
    policy = tiny_hf.policy(plain, lora=Lora(rank=4)).load()
    with torch.no_grad():
        for parameter in policy.named_parameters().values():
            parameter.add_(0.05)
    before = {name: value.clone() for name, value in policy.lm.model.state_dict().items()}
    with folded(policy.lm.model):
        layer = next(m for m in policy.lm.model.modules() if getattr(m, "lora_A", None))
        assert layer.merged
        assert not torch.equal(layer.base_layer.weight, before[f"{name_of(policy.lm.model, layer)}.base_layer.weight"])
    assert all(torch.equal(value, before[name]) for name, value in policy.lm.model.state_dict().items())
    assert not layer.merged
    samples = draw(policy)
    scores = by_row(policy.score(separate(samples), 1.0), len(samples.tokens_N))
    for drawn, scored in zip(samples.logprobs_N, scores, strict=True):
        np.testing.assert_allclose(drawn, scored[: len(drawn)], atol=5e-4)  # adapters far from 0 round more


def name_of(model, part) -> str:
    return next(name for name, module in model.named_modules() if module is part)


@pytest.mark.parametrize("lora", [None, Lora(rank=4)])
def test_bfloat16_computes_in_it_and_trains_in_float32(plain, lora):
    policy = tiny_hf.policy(plain, dtype="bfloat16", lora=lora).load()
    assert {p.dtype for p in policy.named_parameters().values()} == {torch.float32}
    frozen = {p.dtype for p in policy.lm.model.parameters() if not p.requires_grad}
    assert frozen == ({torch.bfloat16} if lora else set())
    samples = draw(policy)
    rows = distinct(samples)
    exact = {}
    for scores in tiny_hf.policy(plain).load().score(rows, 1.0):
        exact |= dict(zip(scores.rows_R.tolist(), scores.logprobs_RT, strict=True))
    for scores in policy.score(rows, 1.0):
        for row, logprobs, mask in zip(scores.rows_R.tolist(), scores.logprobs_RT, scores.mask_RT, strict=True):
            n = int(mask.sum())
            assert not torch.equal(logprobs[:n], exact[row][:n])
            assert (logprobs[:n] - exact[row][:n]).abs().mean() < 0.3
    policy.accumulate(rows, 1.0, lambda scores: scores.logprobs_RT.sum())
    assert any(p.grad.abs().max() > 0 for p in policy.named_parameters().values())


def test_each_weight_is_cast_once_in_a_whole_decoding(plain):
    policy = tiny_hf.policy(plain, dtype="bfloat16").load()
    weight = policy.lm.model.model.layers[0].mlp.down_proj.weight

    class Casts(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "to" in func.__name__ and args and args[0] is weight:
                self.count += 1
            return func(*args, **(kwargs or {}))

    with Casts() as casts:
        draw(policy, length=8)
    assert casts.count == 1


def test_more_can_be_sampled_at_a_time_than_is_differentiated(plain, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "crestfall.testbed.policies.hf.policy.blocks", lambda *a, **k: seen.append(a[-1]) or blocks(*a, **k)
    )
    few, many = (tiny_hf.policy(plain, tokens_per_microbatch=100, sampled_tokens=s).load() for s in (None, 9000))
    assert [t.tolist() for t in draw(few).tokens_N] == [t.tolist() for t in draw(many).tokens_N]
    assert seen == [100, 9000]


@pytest.mark.parametrize("lora", [None, Lora(rank=4)])
def test_a_dry_run_counts_the_parameters_that_are_there(plain, lora):
    policy = tiny_hf.policy(plain, lora=lora)
    size, loaded = policy.model_size(), policy.load()
    assert size.parameters == sum(p.numel() for p in loaded.lm.model.parameters())
    assert size.trainable == sum(p.numel() for p in loaded.named_parameters().values())


# --- families -------------------------------------------------------------------------------------------------------


def test_a_family_that_cannot_be_trained_is_refused_before_a_weight_is_read(plain, tmp_path):
    import transformers

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    transformers.BltConfig(**small).save_pretrained(tmp_path)  # and no weights
    with pytest.raises(ConfigError, match=r"^policy\.model: BltForCausalLM cannot be trained here: [^\n]*$"):
        tiny_hf.policy(tmp_path, tokenizer=str(plain)).load()


def test_a_model_that_looks_ahead_is_refused_in_one_line(tmp_path):
    tiny_hf.save(tmp_path, family="Bert", model="BertLMHeadModel")
    with pytest.raises(InputError, match=r"^policy\.model: not a causal language model: [^\n]*$"):
        tiny_hf.policy(tmp_path).load()


def test_a_way_that_turns_out_wrong_is_not_taken(plain, monkeypatch):
    shared, alone = scoring._behind_shared_prompts, scoring._each_with_its_prompt
    monkeypatch.setattr(scoring, "_behind_shared_prompts", lambda *a: shared(*a).flip(0))
    policy = tiny_hf.policy(plain).load()
    assert not policy.lm.anatomy.shares
    monkeypatch.setattr(scoring, "_each_with_its_prompt", lambda *a: alone(*a).flip(0))
    with pytest.raises(InputError, match="padding changes what it says"):
        tiny_hf.policy(plain).load()

    def broken(*_: object) -> None:
        raise RuntimeError("no kernel\nfor this")

    monkeypatch.setattr(scoring, "_each_with_its_prompt", broken)
    with pytest.raises(InputError, match=r"cannot be trained here: RuntimeError: no kernel for this$"):
        tiny_hf.policy(plain).load()


def test_sampling_by_generate_is_the_same_sampling(plain, loaded):
    by_generate = tiny_hf.policy(plain).load()
    by_generate.lm.anatomy = replace(by_generate.lm.anatomy, shares=False)
    said = by_generate.lm.model.generation_config
    a, b = draw(loaded, group=8, greedy=True), draw(by_generate, group=8, greedy=True)
    assert [t.tolist() for t in a.tokens_N] == [t.tolist() for t in b.tokens_N]
    assert a.truncated_N.tolist() == b.truncated_N.tolist()
    for one, other in zip(a.logprobs_N, b.logprobs_N, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert by_generate.lm.model.generation_config is said


@pytest.mark.parametrize("options", [{}, {"lora": Lora(rank=4)}], ids=["full", "lora"])
def test_steps_of_a_fixed_shape_are_the_same_sampling(plain, options):
    """What a CUDA device replays, computed here step by step."""
    growing, fixed = (tiny_hf.policy(plain, **options).load() for _ in range(2))
    fixed.lm.anatomy = replace(fixed.lm.anatomy, replays=True)
    a, b = draw(growing, group=8, greedy=True), draw(fixed, group=8, greedy=True)
    assert [t.tolist() for t in a.tokens_N] == [t.tolist() for t in b.tokens_N]
    assert len({len(t) for t in a.tokens_N}) > 1  # rows that end early stay in the batch
    for one, other in zip(a.logprobs_N, b.logprobs_N, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"lora": Lora(rank=4)}], ids=["full", "lora"])
def test_steps_of_a_fixed_shape_are_right_in_bfloat16(plain, options):
    lm = tiny_hf.policy(plain, dtype="bfloat16", **options).load().lm
    assert probe.fixed_steps(lm, [np.arange(3), np.arange(5) + 3]).replays


def test_steps_of_a_fixed_shape_are_taken_only_where_they_are_right(plain, tmp_path, monkeypatch):
    tiny_hf.save(tmp_path, family="Gemma2", head_dim=8, sliding_window=8)
    windowed, lm = (tiny_hf.policy(path).load().lm for path in (tmp_path, plain))
    prompts = [np.arange(3), np.arange(5) + 3]
    assert not probe.fixed_steps(windowed, prompts).replays
    assert probe.fixed_steps(lm, prompts).replays
    right = replay._write
    monkeypatch.setattr(replay, "_write", lambda keys, values, place, *a, **k: right(keys, values, place * 0, *a, **k))
    assert not probe.fixed_steps(lm, prompts).replays
    monkeypatch.setattr(replay, "_write", lambda *_, **__: 1 / 0)  # as a model that cannot be captured
    assert not probe.fixed_steps(lm, prompts).replays


# --- with the engine ------------------------------------------------------------------------------------------------


class Newline:
    """Passes what has no new line: as the grader would judge `tiny_hf.Comments`, without its processes."""

    def grade_batch(self, pairs):
        from crestfall.core.types import Grade, Verdict

        return [Grade(Verdict.WRONG_ANSWER if p.count("\n") > 1 else Verdict.PASSED) for _, p in pairs]

    def close(self) -> None: ...


def engine(directory, pace: str = "none", **options) -> NativeEngine:
    from crestfall.testbed.config import CampaignConfig, RunConfig
    from crestfall.testbed.updates.reinforce import Reinforce

    rule = Reinforce(learning_rate=1e-2, warmup_updates=3, pace=component("pace", {"name": pace}))
    policy = tiny_hf.policy(directory, max_tokens=16, **options)
    campaign = CampaignConfig(group_size=4, problems_per_step=4)
    config = replace(RunConfig(), policy=policy, update=rule, campaign=campaign, tasks=tiny_hf.Comments())
    made = NativeEngine(policy.load(), rule, config.tasks, Newline(), config)
    made.begin_campaign(0)
    return made


@pytest.mark.parametrize(
    "options",
    [{}, {"lora": Lora(rank=4)}, {"dtype": "bfloat16"}, {"pace": "kl"}, {"pace": "kl", "lora": Lora(rank=4)}],
    ids=["full", "lora", "bf16", "pace", "pace-lora"],
)
def test_restoring_a_snapshot_is_as_if_nothing_had_followed(plain, options):
    trained = engine(plain, **options)
    problems = tiny_hf.problems("train", 4)

    def step(number):
        return trained.update(trained.rollout(problems, 0, number))

    first = step(1)
    assert first["grad_norm"] > 0
    # bfloat16 rounds differently in sampling and in scoring, and KL compares the two.
    assert first["kl_base"] == pytest.approx(0, abs=1e-3 if "dtype" in options else 1e-5)
    then = trained.snapshot()
    signals = step(2)
    after = trained.snapshot()
    step(3)
    trained.restore(then)
    assert step(2) == signals
    assert signals["kl_base"] > 0
    now, after = dict(flat(trained.snapshot())), dict(flat(after))
    assert now.keys() == after.keys()
    assert all(torch.equal(now[name], after[name]) for name in now)


class Kept:
    """Snapshots as a run directory keeps them, and the campaign cut off right after its first rollback."""

    def __init__(self):
        self.snapshots, self.rolled_back_to = {}, None

    def save(self, name, snapshot):
        self.snapshots[name] = snapshot

    def load(self, name):
        return self.snapshots[name]

    def commit(self, events, campaign):
        if events[-1]["type"] == "rollback":
            self.rolled_back_to = events[-1]["target_step"]
            raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{}, {"lora": Lora(rank=4)}], ids=["full", "lora"])
def test_early_stop_brings_back_weights_and_optimizer_of_the_peak(plain, options):
    from crestfall.control.early_stop import EarlyStop
    from crestfall.testbed.campaign import CampaignState, run_campaign
    from crestfall.testbed.config import CampaignConfig, RunConfig

    sizes = {"train": 4, "select": 3, "report": 2, "problems_per_step": 4, "group_size": 4, "eval_samples": 4}
    config = replace(
        RunConfig(),
        tasks=tiny_hf.Comments(),
        control=EarlyStop(margin=1, then="go_on"),
        campaign=CampaignConfig(**sizes),
    )
    trained, store = engine(plain, **options), Kept()
    sets = config.tasks.campaign(0, 0, config.campaign.sizes)
    with pytest.raises(KeyboardInterrupt):
        run_campaign(config, sets, trained, CampaignState(0, 12, dict(config.control.init())), store)
    peak, now = store.snapshots[f"campaign-000-step-{store.rolled_back_to:03d}"], trained.snapshot()
    last = store.snapshots[f"campaign-000-step-{store.rolled_back_to + 1:03d}"]
    assert any(not torch.equal(last["policy"][name], weight) for name, weight in peak["policy"].items())
    now, peak = dict(flat(now)), dict(flat(peak))
    assert now.keys() == peak.keys()
    assert all(torch.equal(now[name], peak[name]) for name in peak)


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "/nowhere/at/all"}, InputError, r"policy\.model: cannot load '/nowhere/at/all'"),
        ({"prompt": "chat"}, ConfigError, "no chat template"),
        ({"device": "cuda"}, ConfigError, "torch finds none"),
        ({"lora": Lora(targets=("nothing",))}, ConfigError, r"policy\.lora\.targets"),
    ],
)
def test_what_cannot_be_loaded_is_named(plain, monkeypatch, options, error, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(error, match=message) as caught:
        tiny_hf.policy(plain, **options).load()
    assert "\n" not in str(caught.value)


def test_arms_that_share_a_policy_have_it_checked_once(plain, monkeypatch):
    import transformers

    read, real = [], transformers.AutoConfig.from_pretrained
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", lambda *a, **k: read.append(a) or real(*a, **k))
    check(tiny_hf.policy(plain, max_tokens=17))
    once = len(read)
    check(tiny_hf.policy(plain, max_tokens=17))
    assert len(read) == once > 0


def test_gguf_without_its_library_names_the_extra(plain, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else real(name))
    with pytest.raises(MissingExtraError, match=r"crestfall\[hf\]"):
        tiny_hf.policy(plain, gguf_file="m.gguf").load()


def test_a_prompt_that_leaves_no_room_is_named(loaded):
    with pytest.raises(InputError, match=r"problem long.*max_tokens"):
        draw(loaded, [replace(PROBLEM, task_id="long", prompt="square it " * 60)])


def test_options_are_read_as_plain_data(plain):
    policy = component("policy", {"name": "hf", "model": str(plain), "lora": {"rank": 8, "targets": ["q_proj"]}})
    assert policy.lora == Lora(rank=8, targets=("q_proj",))
    with pytest.raises(ConfigError, match=r"policy\.model: has to be given"):
        component("policy", {"name": "hf"})
    assert main(["list", "policy", "--json"]) == 0


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_benchmark_is_evaluated_and_a_cut_run_goes_on(plain, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tiny_hf.Comments, "rows", lambda self: iter(range(6)), raising=False)
    monkeypatch.setattr(tiny_hf.Comments, "read", lambda self, row: tiny_hf.problems("final", 6)[row], raising=False)
    monkeypatch.setattr(tiny_hf.Comments, "pose", lambda self, problem, rows: problem, raising=False)
    out = tmp_path / "out.jsonl"
    words = [f"policy.model={plain}", "policy.name=hf", "policy.max_tokens=8", "tasks.name=comments"]
    command = ["--out", str(out), "--samples", "2", "--batch", "2", *words]

    def run(*more):
        assert main(["evaluate", *command, *more, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    first = run("--rows", "1:3")
    assert first["problems"] == 2
    with out.open("a") as file:
        file.write('{"task_id": "final/5", "torn')
    whole = run()
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["task_id"] for line in lines[1:]] == [f"final/{i}" for i in (1, 2, 0, 3, 4, 5)]
    assert whole["problems"] == 6
    assert whole["pass_at_1"] == pytest.approx(sum(line["passed"] for line in lines[1:]) / 12)
    assert whole["greedy_pass_at_1"] == pytest.approx(sum(line["greedy"] for line in lines[1:]) / 6)
    assert main(["evaluate", *command, "policy.max_tokens=9"]) == 2
    assert "other options" in capsys.readouterr().err


def test_an_evaluation_on_a_full_disk_is_one_line_and_goes_on(plain, tmp_path, capsys, monkeypatch, small_disk):
    rows = [replace(p, task_id=f"{p.task_id}{'-' * 3000}") for p in tiny_hf.problems("final", 4)]
    monkeypatch.setattr(tiny_hf.Comments, "rows", lambda self: iter(range(4)), raising=False)
    monkeypatch.setattr(tiny_hf.Comments, "read", lambda self, row: rows[row], raising=False)
    monkeypatch.setattr(tiny_hf.Comments, "pose", lambda self, problem, rows: problem, raising=False)
    words = [f"policy.model={plain}", "policy.name=hf", "policy.max_tokens=8", "tasks.name=comments", "--batch", "1"]
    out, ballast, sizes = small_disk / "out.jsonl", small_disk / "ballast", []
    for room in (0, 8, 4):
        with contextlib.suppress(OSError):
            ballast.write_bytes(b"x" * 256 * 1024)
        os.truncate(ballast, ballast.stat().st_size - room * 1024)
        assert main(["evaluate", "--out", str(out), *words]) == 2
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("crestfall: ")]
        assert [line for line in said if " problems: {" not in line] == said[-1:]
        assert f"crestfall: {out}: the disk is full; what stands there is intact" in said[-1]
        sizes.append(out.read_text().count("\n") if out.exists() else 0)
        ballast.unlink()
    assert sizes[0] == 0 < sizes[1] == sizes[2]
    assert main(["evaluate", "--out", str(out), *words]) == 0
    assert [json.loads(line).get("task_id") for line in out.open()] == [None, *(row.task_id for row in rows)]
