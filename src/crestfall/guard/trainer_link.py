"""A transformers Trainer as a callback sees it: found, put in order, logged to, and made to forget what it sampled."""

from __future__ import annotations

import gc
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crestfall.core.errors import ConfigError, CrestfallWarning, InputError
from crestfall.guard.average import WeightAverage
from crestfall.guard.scores import greater_is_better
from crestfall.guard.state import GlobalRng
from crestfall.store import statetree

_DIRECTORY = "_crestfall"
"""Below the output directory: `push_to_hub` leaves out what begins with an underscore."""
_BUFFERS: tuple[tuple[str, Any], ...] = (("_buffered_inputs", None), ("_step", 0), ("_last_loaded_step", -1))
"""Fields of a TRL trainer (1.16) for buffered completions and for the weights that its vLLM engine has."""


def find_trainer(state: Any) -> Any:
    """The trainer whose `state` this is; None where it cannot be found. A callback's events do not name it."""
    for holder in gc.get_referrers(state):
        owners = gc.get_referrers(holder) if isinstance(holder, dict) else [holder]
        for owner in owners:
            if hasattr(owner, "callback_handler") and getattr(owner, "state", None) is state:
                return owner
    return None


def come_first(trainer: Any, callback: Any) -> None:
    """Let a callback see every event before the others, so that trackers and uploads at the end see what it put back.

    Before it comes what changes the state of a step itself: a reference model that follows the trained one. A new list:
    the trainer may be going through the old one.
    """
    handler = trainer.callback_handler
    others = [other for other in handler.callbacks if other is not callback]
    part_of_the_step = [other for other in others if type(other).__name__ == "SyncRefModelCallback"]
    handler.callbacks = [*part_of_the_step, callback, *(o for o in others if o not in part_of_the_step)]


def say_averages(trainer: Any) -> None:
    """Warn of a callback with an average of its own: no rollback takes it back."""
    names = [type(other).__name__ for other in ([] if trainer is None else trainer.callback_handler.callbacks)]
    if found := [name for name in names if re.search("EMA|SWA|Averag", name)]:
        warnings.warn(
            f"crestfall: the average of {found[0]} holds the steps past the peak too, for it is not taken back: "
            "CrestfallCallback(hand_on='ema') averages up to the peak",
            CrestfallWarning,
            stacklevel=2,
        )


def remembered(state: Any, now: Mapping[str, float] | None = None) -> Mapping[str, float]:
    """State of the step meter, kept with every checkpoint of the trainer (in trainer_state.json)."""
    if now is not None:
        state.stateful_callbacks["crestfall_pace"] = dict(now)
    found: Mapping[str, float] = (state.stateful_callbacks or {}).get("crestfall_pace", {})
    return found


def average_in_checkpoint(average: WeightAverage, args: Any, state: Any, *, save: bool = False) -> bool:
    """Read an average of weights from the trainer's checkpoint of this step, or `save` it there: a resumed run goes on
    with it. Returns whether it is there; says so where it begins anew."""
    folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
    path = folder / "crestfall_average.safetensors"
    if save:
        if folder.exists():
            statetree.write(statetree.pack(average.state_dict()), path)
    elif path.exists():
        average.load_state_dict(statetree.unpack(statetree.read(path)))
    else:
        warnings.warn(
            f"crestfall: no average of weights in {folder}: it begins anew at step {state.global_step}",
            CrestfallWarning,
            stacklevel=2,
        )
    return path.exists()


def directory_for(given: str | Path | None, args: Any, resumed: bool) -> Path:
    """A guard's directory for one `train()`: `train-00`, `train-01` ...: the next one for a fresh run, the last one
    where it was resumed. `given`: where these are; None: in the trainer's output directory."""
    root = Path(args.output_dir) / _DIRECTORY if given is None else Path(given)
    if given is None and resumed and not root.exists():
        older = Path(args.output_dir) / "crestfall"  # its name in 0.1
        root = older if older.exists() else root
    numbers = [int(path.name[6:]) for path in root.glob("train-*") if path.name[6:].isdigit()]
    if resumed and not numbers:
        warnings.warn(
            f"crestfall: training resumes at a checkpoint and {root} holds nothing of a guard's: the best step so far "
            "is not known; give the callback the `directory` of the run before",
            CrestfallWarning,
            stacklevel=2,
        )
    last = max(numbers, default=-1)
    return root / f"train-{last if resumed and numbers else last + 1:02d}"


def direction(metric: str | None, said: bool | None, args: Any) -> bool:
    """Whether a larger score is better: as `said`, else by the metric's name and the trainer's `greater_is_better`.

    Raises:
        ConfigError: the direction is unknown, or the sources contradict each other.
    """
    if metric is None or said is not None:
        return said is not False
    theirs = args.greater_is_better if args.metric_for_best_model in (metric, f"eval_{metric}") else None
    try:
        ours = greater_is_better(metric)
    except ConfigError:
        if theirs is None:
            raise
        return bool(theirs)
    if theirs is not None and theirs != ours:  # transformers guesses: False for names that end in loss alone
        raise ConfigError(
            f"metric {metric!r}: the trainer has greater_is_better={theirs}, and by its name it is {ours}: say which "
            "to the callback, greater_is_better=True or False"
        )
    return ours


def named(strategy: Any) -> str:
    """`steps`, `epoch` or `no`, given as a string or as transformers' enumeration."""
    return str(getattr(strategy, "value", strategy))


def log(trainer: Any, state: Any, numbers: Mapping[str, float], words: Mapping[str, str]) -> None:
    """Log to log_history and, through the trainer, to its trackers; `words` to log_history alone."""
    if trainer is None:
        state.log_history.append({**numbers, "step": state.global_step})
    else:
        from transformers import Trainer

        # Not the trainer's own `log`: TRL's empties its running metrics there.
        Trainer.log(trainer, dict(numbers))
    state.log_history[-1].update(words)


def forget_rollouts(trainer: Any, args: Any) -> None:
    """Make a trainer sample anew: its buffered completions, and a vLLM engine's weights, are from before the rollback.

    Warns where that cannot be done.
    """
    samples = any(hasattr(args, name) for name in ("num_generations", "steps_per_generation"))
    known = trainer is not None and hasattr(trainer, "_buffered_inputs")
    if samples and not known:
        why = "is not at hand: call callback.attach(trainer)" if trainer is None else "keeps them under another name"
        warnings.warn(
            f"crestfall: the trainer may still train on completions from before the rollback; it {why}",
            CrestfallWarning,
            stacklevel=2,
        )
    for name, value in _BUFFERS:
        if trainer is not None and hasattr(trainer, name):
            setattr(trainer, name, value)


def saves_now(args: Any, state: Any, control: Any) -> bool:
    """Whether the trainer is about to save a checkpoint, which must not be newer than the guard's files."""
    strategy = named(args.save_strategy)
    steps = getattr(state, "save_steps", 0) or 0
    due = strategy == "steps" and steps > 0 and state.global_step % steps == 0
    return bool(control.should_save) or due or (strategy != "no" and state.global_step >= state.max_steps)


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Evaluation mode, no gradients, and afterwards the random numbers as if nobody had evaluated: how often a run is
    looked at must not change where it goes."""
    import torch

    rng, training = GlobalRng(), model.training
    before = rng.state_dict()
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
        rng.load_state_dict(before)


def metric_in(metrics: Mapping[str, Any], metric: str) -> float | None:
    """A metric's value in what one evaluation reports; None where this evaluation is of another set.

    TRL reports the metrics of one of several evaluation sets under names without the set's: `eval_a_reward` is
    `eval_reward` beside `eval_a_runtime`.

    Raises:
        InputError: one of several sets, and the metric does not say which.
    """
    name = metric.removeprefix("eval_")
    sets = [
        key[5:-8] for key in metrics if key.startswith("eval_") and key.endswith("_runtime") and key != "eval_runtime"
    ]
    if metric in metrics or f"eval_{name}" in metrics:
        if sets and not any(name.startswith(f"{known}_") for known in sets):
            raise InputError(
                f"CrestfallCallback: there are several evaluation sets; say which: metric='eval_{sets[0]}_{name}'"
            )
        return float(metrics.get(metric, metrics.get(f"eval_{name}", math.nan)))
    for known in sets:
        if name.startswith(f"{known}_"):
            value = metrics.get(f"eval_{name.removeprefix(f'{known}_')}")
            return None if value is None else float(value)
    return None
