"""Convert the result of an evaluation, as a training loop passes it, into the record that a controller sees.

Numbers come as Python's, numpy's or torch's; a score as a mean, as counts per problem or as pass rates per problem;
and it may be one to be minimised. What could mean two things is refused in one line, at the first evaluation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from typing import Any

from crestfall.core.errors import ConfigError, InputError
from crestfall.core.types import Evaluation, Record

RESERVED = (
    *("id", "step", "select", "score", "n", "passed", "standard_error", "report", "action", "target_step", "reason"),
    *("evidence", "learning_rate_scale", "forget_optimizer", "average", "rate_before", "not_finite"),
)
"""Names in a line of the journal that no signal can have."""

_WORD = r"(^|[_/.@\-])"
_SMALLER = (
    _WORD + r"(loss|losses|nll|ce|ppl|perplexity|error|errors|error_rate|err|failure_rate|fail_rate|wer|cer|mse|rmse|"
    r"mae|mape|brier|bpb|bpc)$"
)
_GREATER = (
    _WORD + r"(reward|rewards|score|scores|acc|accuracy|pass|pass[@^]?\d*|pass_(at|hat)_\d+|pass_rate|avg@\d+|mean@\d+|"
    r"maj@\d+|best@\d+|f1|f1_\w+|precision|recall|(recall|precision|ndcg|hits?)@\d+|accuracies|margins|acc_norm|"
    r"reward_mean|hit_rate|auc|auroc|bleu|rouge\w*|chrf|meteor|em|exact_match|win_?rate|success|successes|success_rate|"
    r"solved|correct|r2|map|ndcg|mcc)(/mean)?$"
)
_TURNED = (
    _WORD
    + r"(neg|negative|minus|inverse|inv|toxicity|toxic|harm\w*|hallucination\w*|violation\w*|penalty|refusal\w*|bias|"
    r"risk|repetition\w*|false|cost|distance)([_/.@\-]|$)"
)
"""Words that turn a name round, or may do so: neg_log_loss, toxicity_score, false_pass_rate."""
_WITHOUT_BINOMIAL_NOISE = _WORD + r"(loss|losses|nll|ce|ppl|perplexity|mse|rmse|mae|mape|brier|bpb|bpc)$"
_MEANT = {
    **dict.fromkeys(("N", "samples", "n_samples", "num_samples", "sample_size"), "n"),
    **dict.fromkeys(("stderr", "std_err", "std_error", "stderror", "se", "sem"), "standard_error"),
}
"""Names used elsewhere for the arguments of `observe`: {name elsewhere: argument}."""


def greater_is_better(metric: str, said: bool | None = None) -> bool:
    """Whether a larger value of a metric is better: as `said`, else by the metric's name.

    Raises:
        ConfigError: `said` is None, and the name leaves it open.
    """
    if said is not None:
        return said
    name = metric.lower()
    if not re.search(_TURNED, name):
        if re.search(_SMALLER, name):
            return False
        if re.search(_GREATER, name):
            return True
    raise ConfigError(f"metric {metric!r}: is a larger value better? Say so: greater_is_better=True or False")


def has_binomial_noise(metric: str) -> bool:
    """Whether a metric can be a share of samples, so that their number gives its noise. A loss cannot."""
    return not re.search(_WITHOUT_BINOMIAL_NOISE, metric.lower())


def number(value: Any, what: str) -> float:
    """A float from a Python, numpy or torch scalar. Raises InputError that begins with `what`."""
    plain = _plain(value)
    if isinstance(plain, list) and len(plain) == 1:
        plain = _plain(plain[0])
    if isinstance(plain, Number) and not isinstance(plain, complex):
        return float(plain)  # type: ignore[arg-type]
    raise InputError(f"{what} is {value!r}; expected a number")


def whole_number(value: Any, what: str) -> int:
    """An int from a scalar of any kind that has no fraction. Raises InputError that begins with `what`."""
    plain = number(value, what)
    if not math.isfinite(plain) or plain != int(plain):
        raise InputError(f"{what} is {value!r}; expected a whole number")
    return int(plain)


def _plain(value: Any) -> Any:
    """Arrays, tensors and series as Python numbers and lists."""
    return value.tolist() if hasattr(value, "tolist") else value


@dataclass(frozen=True)
class Scores:
    """Scores of a step: the record that the controller sees, and beside it what the controller does not see.

    `samples`: behind the record's score all told. `raw`: the score as it was given, where the record's is another one
    (a loss, which the record has with its sign changed). `not_finite`: what of the observation is NaN or infinite:
    "score", "weights", or "".
    """

    record: Record
    report: float | None = None
    samples: int | None = None
    raw: float | None = None
    not_finite: str = ""


class Reader:
    """Reads the arguments of `Guard.observe`. Remembers whether scores per problem came as counts or as rates."""

    def __init__(self, *, greater_is_better: bool = True) -> None:
        self._sign = 1.0 if greater_is_better else -1.0
        self._as_rates: bool | None = None

    def read(
        self,
        step: Any,
        select: Any,
        n: Any = None,
        standard_error: Any = None,
        report: Any = None,
        signals: Mapping[str, Any] | None = None,
    ) -> Scores:
        """The record of a score that comes as a mean (of `n` samples in all) or per problem (of `n` samples each).

        A mean that is not finite is passed on in the record as it is, with `not_finite`: the caller knows what the
        worst score is. Signals that are None or not finite were not measured: they are left out.

        Raises:
            InputError: a score that is no number, or that does not go with `n`.
        """
        at = whole_number(step, "step")
        where = f"step {at}: "
        total = None if n is None else whole_number(n, f"{where}n")
        if total is not None and total < 1:
            raise InputError(f"{where}n is {total}; expected at least 1 sample")
        error = None if standard_error is None else self._standard_error(standard_error, where)
        seen = self._signals(signals or {}, where)
        beside = None if report is None else number(report, f"{where}report")
        if beside is not None and not math.isfinite(beside):
            raise InputError(f"{where}report is {beside}; leave it out if it was not measured")
        plain = select if isinstance(select, Evaluation) else _plain(select)
        if isinstance(plain, Sequence) and not isinstance(plain, str):
            plain = Evaluation(self._counts(plain, total, where), total or 1)
        if isinstance(plain, Evaluation):
            if self._sign < 0:
                raise InputError(f"{where}counts of passing samples are better when larger; greater_is_better is False")
            samples = plain.n * len(plain.passed_P)
            return Scores(Record.of(at, plain, seen), beside, samples)
        return self._mean(at, number(plain, f"{where}select"), total, error, beside, seen)

    def _mean(
        self, step: int, value: float, n: int | None, error: float | None, report: float | None, seen: dict[str, float]
    ) -> Scores:
        if not math.isfinite(value):
            return Scores(Record(step, value, None, signals=seen), report, n, None, "score")
        if n is not None and error is None:
            if not 0 <= value <= 1:
                raise InputError(
                    f"step {step}: select={value:g} with n={n} is not a share of n samples: give one between 0 and 1, "
                    "or give standard_error in place of n"
                )
            # The binomial standard error is an upper bound for a fixed set of problems of unequal difficulty. Half a
            # sample towards 1/2 (Jeffreys): where all or nothing passed the score is still not certain.
            share = (value * n + 0.5) / (n + 1)
            error = math.sqrt(share * (1 - share) / n)
        record = Record(step, self._sign * value, error, signals=seen)
        return Scores(record, report, n, value if self._sign < 0 else None)

    def _standard_error(self, value: Any, where: str) -> float:
        error = number(value, f"{where}standard_error")
        if not (math.isfinite(error) and error >= 0):
            raise InputError(f"{where}standard_error is {error:g}; expected a finite number of at least 0")
        return error

    def _signals(self, signals: Mapping[str, Any], where: str) -> dict[str, float]:
        if bad := [name for name in signals if name in RESERVED]:
            raise InputError(f"{where}a signal cannot be called {bad[0]!r}")
        if bad := [name for name in signals if name in _MEANT]:
            raise InputError(f"{where}{bad[0]!r} is not a signal; did you mean {_MEANT[bad[0]]}=?")
        given = {name: number(v, f"{where}{name}") for name, v in signals.items() if v is not None}
        return {name: value for name, value in given.items() if math.isfinite(value)}

    def _counts(self, values: Sequence[Any], n: int | None, where: str) -> tuple[int, ...]:
        """Passing samples of each problem. Rates (0.25 of 16 samples) become counts again."""
        if n is None or not values:
            raise InputError(f"{where}scores per problem need n, the samples of each, and at least one problem")
        given = [number(value, f"{where}select[{i}]") for i, value in enumerate(values)]
        if bad := [value for value in given if not 0 <= value <= n]:
            raise InputError(f"{where}counts per problem lie between 0 and n={n}; found {bad[0]:g}")
        if self._are_rates(values, given, n, where):
            counts = [value * n for value in given]
            if bad := [rate for rate, count in zip(given, counts, strict=True) if abs(count - round(count)) > 0.1]:
                raise InputError(
                    f"{where}a rate of {bad[0]:g} is not a count of n={n} samples; give counts, or another n"
                )
            return tuple(round(count) for count in counts)
        if bad := [value for value in given if value != int(value)]:
            raise InputError(f"{where}{bad[0]:g} is neither a count of passing samples nor, with the others, a rate")
        return tuple(int(value) for value in given)

    def _are_rates(self, values: Sequence[Any], given: Sequence[float], n: int, where: str) -> bool:
        if n == 1 or not any(given):
            return False  # counts and rates are the same numbers
        if any(value != int(value) for value in given):
            if max(given) <= 1:
                self._as_rates = True
                return True
            return False
        if max(given) > 1 or not any(isinstance(_plain(value), float) for value in values):
            self._as_rates = False
            return False
        # Floats, each 0 or 1: rates of problems all solved or not at all, or counts of one sample at most.
        if self._as_rates is None:
            raise InputError(f"{where}are 0.0 and 1.0 counts of n={n} samples or rates? Give counts as integers")
        return self._as_rates
