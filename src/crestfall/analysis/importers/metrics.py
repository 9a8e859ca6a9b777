"""Meaning of a key by the words in it: a step counter, an evaluation, a training reward or a part of one.

Evaluations on held-out problems come before training rewards: a training reward can look healthy where held-out
accuracy is not. Names are read by rule, since every tool and every project has its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Literal

from crestfall.core.signals import word_set, words_of

Role = Literal["evaluation", "reward", "score", "aside"]
"""`score`: an accuracy, pass rate or the like that does not say which problems it is of."""

_HELD_OUT = word_set(
    "eval evals evaluation evaluate evaluator val valid validation test testing heldout held dev ood benchmark "
    "benchmarks bench"
)
_BENCHMARK = re.compile(
    r"(gsm|math(?!\w*verify)\d*$|aime|amc|minerva|olympiad|human_?eval|mbpp|livecode|lcb|bigcode|gpqa|mmlu|ifeval|ifbench|arc$|"
    r"bbh|codeforces|codecontests|apps$|evalplus|hellaswag|truthfulqa|triviaqa|hotpot|nq$|drop$|svamp|asdiv|aqua|mawps|"
    r"swe$|swebench|terminalbench|bfcl|zebra|alfworld|webshop|cruxeval|multiple$|ds1000|spider|bird$|winogrande|piqa|"
    r"boolq|csqa|commonsenseqa|strategyqa|popqa|musr|mgsm|alpacaeval|arena|mtbench|beyondaime|brumo|hmmt|simpleqa|"
    r"leetcode|omni)"
)
_SCORE = word_set(
    "acc accs accuracy accuracies score scores pass passed passes passrate success successes successful solve "
    "solved solves correct correctness em exact f1 win wins winrate resolved resolve bleu codebleu rouge hits "
    "right quality performance elo rating goal"
)
_RETURN = word_set("return returns ret")
_REWARD = _RETURN | word_set("reward rewards rew rews rm")
_PASS = re.compile(r"(pass|acc|avg|mean)\d+$")
_AVERAGE = word_set("avg mean average overall all total macro micro aggregate")
_NOT_A_LEVEL = word_set(
    "std stdev sd stddev var variance min max median loss losses time times timing seconds secs sec duration "
    "entropy kl length len lengths tokens token count counts num norm lr best maj majority worst clip clipped "
    "clipfrac frac fraction percentile quantile advantage advantages adv baseline throughput memory mem gpu cpu "
    "penalty penalties weight weights coef margin margins chosen rejected perplexity ppl error errors err mae mse "
    "rmse runtime speed fps step steps epoch epochs temperature threshold target gap delta diff difference ratio "
    "grad gradient gradients invalid timeout timeouts fail failed fails failure failures failing incorrect wrong "
    "unsolved zero cost latency hist histogram stderr ci low high upper lower size bs logp logps logprob logprobs "
    "id seed n samples per iter iters hacking hacked toxicity p5 p10 p25 p50 p75 p90 p95 p99 bound scale scaled "
    "normalized normalised nonzero effective truncated truncation truncations "
    "clipped overlong finished finish stop stopped "
    "repetition repetitions turns turn calls call"
)
_SMALLER_IS_BETTER = word_set(
    "loss losses perplexity ppl error errors err mae mse rmse wer cer fail failed fails failure failures failing "
    "incorrect wrong unsolved invalid timeout timeouts"
)
_TRAINING = word_set("train training critic rollout rollouts actor objective env envs episode ep batch raw")
_PLAIN_WORDS = (
    _TRAINING
    | _AVERAGE
    | _REWARD
    | word_set("score scores rlhf ppo mean fn func function functions group task runners")
)
_BARE = frozenset(("value", "score", "metric"))

KNOWN_REWARDS = (
    "reward",
    "critic/score/mean",
    "critic/rewards/mean",
    "reward/all/mean",
    "reward/mean",
    "env/all/reward/total",
    "reward/avg_raw_reward",
    "rollout/raw_reward",
    "rollout/reward",
    "ppo_actor/task_reward/avg",
    "objective/scores",
    "objective/rlhf_reward",
    "rollout/ep_rew_mean",
)
"""Keys for tools that log several rewards, the raw one first."""


@lru_cache(maxsize=65536)
def role_of(key: str) -> Role:
    """The role of a key by its words."""
    words = words_of(key)
    every = set(words)
    if "zero" in every or not words or ("solve" in every and words[-1] in ("all", "none", "partial")):
        return "aside"  # counts of groups without variance
    if every & _NOT_A_LEVEL - _allowed(every):
        return "aside"
    benchmark = _is_benchmark(words)
    held_out = bool(every & _HELD_OUT)
    scored = bool(every & _SCORE) or any(_PASS.match(word) for word in words) or ("at" in every and "pass" in every)
    rewarded = bool(every & _REWARD)
    trained = bool(every & _TRAINING) and words[0] in _TRAINING
    if words[0] in ("reward", "rewards") and len(words) > 1 and not held_out:
        return "reward"  # parts: TRL's `rewards/MathAccuracy/mean`, prime-rl's `reward/math/mean`
    if (held_out or (benchmark and not trained)) and (scored or rewarded or benchmark or every & {"avg", "mean"}):
        return "evaluation"
    if words[0] in ("select", "report") and (len(words) == 1 or scored):
        return "evaluation"  # crestfall's own observations and trackers
    if "pass" in every and not trained and words[-1] in ("1", "k") and not rewarded:
        return "evaluation"
    if "primary" in every and scored:
        return "evaluation"
    if rewarded or (scored and trained) or words == ["r"]:
        return "reward"
    if words == ["evaluation"]:
        return "evaluation"
    return "score" if scored or words in (["value"], ["metric"]) else "aside"


def names_benchmark(text: str) -> bool:
    return _is_benchmark(words_of(text))


def _is_benchmark(words: Sequence[str]) -> bool:
    joined = "".join(words)
    return any(_BENCHMARK.match(word) for word in words) or "humaneval" in joined or "livecodebench" in joined


def smaller_is_better(key: str) -> bool:
    """Whether a key names a loss, an error or the like. The analysis looks for falling scores, so it negates these."""
    return role_of(key) == "aside" and bool(set(words_of(key)) & _SMALLER_IS_BETTER)


def is_share(key: str) -> bool:
    """Whether a key names a share, within [0, 1] or in percent, rather than a score or reward on another scale."""
    return role_of(key) != "aside" and bool(set(words_of(key)) & _SHARE) and not set(words_of(key)) & _REWARD


_SHARE = word_set(
    "acc accs accuracy accuracies pass passed passes passrate success successes successful solved correct correctness "
    "em win wins winrate resolved"
)


def _allowed(words: set[str]) -> frozenset[str]:
    """Words that are no level by themselves and are one in these names: `acc_norm`, `frac_correct`, `pass_ratio`,
    `epoch_accuracy`, `train_acc_step`, `return per episode`."""
    return _allowed_shares(words) | (frozenset(("epoch", "step", "per")) if words & (_SCORE | _REWARD) else frozenset())


def _allowed_shares(words: set[str]) -> frozenset[str]:
    if words & {"pass", "passed", "correct", "solved", "success", "accuracy"}:
        return frozenset(("n", "frac", "fraction", "ratio"))
    if {"mean", "median"} <= words:
        return frozenset(("median",))
    return frozenset(("norm",)) if "acc" in words else frozenset()


def evaluations(keys: Iterable[str]) -> list[str]:
    """Evaluations, best first: accuracies before scores before rewards, one sample before several, means over all
    before single suites."""
    return sorted((key for key in keys if role_of(key) == "evaluation"), key=_rank_of_evaluation)


def kind_of_evaluation(key: str) -> tuple[int, int]:
    """Evaluations of one kind (accuracies; scores; rewards; passes of one of several samples) can be compared."""
    return _rank_of_evaluation(key)[:2]


def _rank_of_evaluation(key: str) -> tuple[int, int, int, str]:
    words = words_of(key)
    every = set(words)
    own = 0 if words == ["select"] else {"report": 1, "select": 2}.get(words[0] if words else "", 3)
    kind = 2 if every & _REWARD else 1 if every & {"score", "scores"} else 0
    several = re.search(r"pass(?:@|_at_|_?)(\d+)", key)
    kind += 3 if several and several[1] != "1" else 0
    return (own, kind, 0 if every & {"all", "overall", "average"} else 1, key)


def rewards(keys: Iterable[str]) -> list[str]:
    """Training rewards, the whole before its parts: known keys, then those with the fewest words of their own."""
    return sorted((key for key in keys if role_of(key) == "reward"), key=_rank_of_reward)


def _rank_of_reward(key: str) -> tuple[int, int, int, str]:
    bare = key.removeprefix("train/")
    known = KNOWN_REWARDS.index(bare) if bare in KNOWN_REWARDS else len(KNOWN_REWARDS)
    words = words_of(bare)
    kind = 0 if set(words) & _REWARD - _RETURN else 1 if set(words) & _RETURN else 2  # a return may be after penalties
    return known, len(own_words(key)), kind, f"{len(words):03d}{key}"


def scores(keys: Iterable[str]) -> list[str]:
    return sorted((key for key in keys if role_of(key) == "score"), key=lambda key: (len(words_of(key)), key))


def parts(keys: Iterable[str], whole: str | None) -> list[str]:
    """Parts of the training reward (one per grader: accuracy, format, ...), and scores logged beside it."""
    known = list(keys)
    named = [key for key in rewards(known) if key != whole and own_words(key)]
    return named + [key for key in scores(known) if key != whole and key.lower() not in _BARE]


def own_words(key: str) -> list[str]:
    """The words that name a part: those that every reward may have left out."""
    return [word for word in words_of(key) if word not in _PLAIN_WORDS]


# --- step counters --------------------------------------------------------------------------------------------------

_STEP_KEYS = (
    "training/global_step",
    "train/global_step",
    "trainer/global_step",
    "global_step",
    "train_step",
    "training_step",
    "optimizer_step",
    "current_steps",
    "step",
    "steps",
    "training_iteration",
    "progress/batch",
    "_step",
)
_STEP_WORDS: tuple[Callable[[list[str]], bool], ...] = (
    lambda w: "global" in w and w[-1] in ("step", "steps"),
    lambda w: w[-1] in ("step", "steps") and w[0] not in _HELD_OUT,
    lambda w: w[-1] in ("timesteps", "timestep", "interacts", "interactions", "frames"),
    lambda w: w[-1] in ("iteration", "iterations", "iter", "iters", "it", "itr"),
    lambda w: w[-1] in ("update", "updates", "round", "rounds", "rollout", "generation"),
    lambda w: w[-1] in ("batch", "batches"),
    lambda w: w[-1] in ("episode", "episodes") or w == ["episode", "num"],
    lambda w: w[-1] in ("steps", "step", "checkpoint", "ckpt"),
    lambda w: w[-1] in ("epoch", "epochs"),
    lambda w: w[-1] in ("idx", "index"),
)
_NO_COUNTER = word_set(
    "per max num n time seconds s target warmup save eval logging log gradient accumulation every sec inner ppo "
    "mini micro trained to between since restore this reward rewards return returns loss"
)


def counts_weakly(key: str) -> bool:
    """Whether a counter orders the rows without counting steps: epochs, tokens, samples seen."""
    return words_of(key)[-1:] in (["epoch"], ["epochs"]) or _is_amount(words_of(key))


def numbers_rows(key: str) -> bool:
    """Whether a counter is an index, which may number samples or processes as well as steps."""
    return words_of(key)[-1:] in (["idx"], ["index"])


def _is_amount(words: Sequence[str]) -> bool:
    """Tokens or samples that have been seen: `num_tokens`, `total_tokens_seen`, `consumed_samples`."""
    every = set(words)
    if every & _NOT_AN_AMOUNT or not every & {"tokens", "samples"}:
        return False
    return len(words) == 1 or bool(every & {"num", "total", "seen", "consumed", "trained", "processed"})


_NOT_AN_AMOUNT = word_set(
    "per mean avg average min max std batch s second seconds completion completions response prompt generated gen "
    "response sequence length lengths speed throughput loss kl reward entropy n eval test val"
)
_CUMULATIVE = ("timesteps", "iterations", "episodes", "epochs", "updates")
_OF_ALL = re.compile(r"(?<=step|iter|poch)s?/(max|total)_\w+$", re.IGNORECASE)
"""ms-swift's `global_step/max_steps` holds `12/80`."""


_TIME_STEPS = re.compile(r"time[ _-]steps?\b", re.IGNORECASE)
_UNIT = re.compile(
    r"(?:\s*[\[(]\s*(?:in |x ?)?(k|thousands?|1e3|1000|m|mio|millions?|1e6|b|billions?|1e9)\s*[\])]|"
    r"(?<=s)[ _](k|m|b))$",
    re.IGNORECASE,
)
_UNITS = {"k": 1e3, "t": 1e3, "1e3": 1e3, "1000": 1e3, "m": 1e6, "1e6": 1e6, "b": 1e9, "1e9": 1e9}
"""Factors by unit or its first letter: `step (k)` counts thousands."""


def step_unit(key: str) -> float:
    """Number of steps that one unit of a counter stands for."""
    match = _UNIT.search(key.strip())
    unit = (match[1] or match[2]).lower() if match else ""
    return _UNITS.get(unit) or _UNITS.get(unit[:1], 1.0)


@lru_cache(maxsize=65536)
def step_rank(key: str) -> int | None:
    """Rank of a key as the counter of steps (smaller is better); None if it is not a counter."""
    name = key.strip()
    if name.lower() in _STEP_KEYS:
        return _STEP_KEYS.index(name.lower())
    words = words_of(_TIME_STEPS.sub("timesteps", _UNIT.sub("", _OF_ALL.sub("", name))))
    if _is_amount(words):
        return len(_STEP_KEYS) + len(_STEP_WORDS)
    no_counter = (_NO_COUNTER | _SCORE) - ({"eval"} if "global" in words else set())  # OpenRLHF's eval/global_step
    if not words or (set(words) & no_counter and words[-1] not in _CUMULATIVE and words != ["episode", "num"]):
        return None
    found = next((i for i, rule in enumerate(_STEP_WORDS) if rule(words)), None)
    return None if found is None else len(_STEP_KEYS) + found
