"""Capability-effect memory: what campaigns did to the capability vector, and what the next one is expected to do.

The paper's entry is {strategy, context, capability delta, boundary, confidence}, aggregated by a linear-Gaussian
posterior; it gives neither features nor equations. Here the entries are all that is stored, so that the file can be
read, edited and joined by hand; the posterior is computed from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from crestfall.control.capability import MEMBERS
from crestfall.control.care.posterior import FloatArray, Posterior
from crestfall.core.errors import InputError

FORMAT = "crestfall capability-effect memory"
Member = Literal["pass_at_1", "pass_at_16", "diversity", "hard_case_accuracy"]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Verdict = Literal["reuse", "adapt", "pilot", "reject"]


@dataclass(frozen=True, slots=True)
class Context:
    """Context of a campaign, known before its first step."""

    positive_rate: FiniteFloat
    """pass@1 on select of the weights that it starts from."""
    ratio: FiniteFloat
    """End/peak of the campaign before it; 1 for the first."""
    campaign: int
    log10_parameters: FiniteFloat = 0.0

    def features_F(self) -> FloatArray:
        """[5]: a constant, and the context, each of the order of 1 (the prior's tau is the same for all)."""
        return np.array([1.0, self.positive_rate, self.log10_parameters / 10, self.ratio, self.campaign / 10])


@dataclass(frozen=True, slots=True)
class Entry:
    """Record of one campaign."""

    strategy: str
    context: Context
    delta: dict[Member, FiniteFloat]
    """Handed on minus start, on select; members that were not measured are absent."""
    boundary: str
    """The point at which the strategy turns harmful, as far as known after this campaign. It is for people: no rule
    reads it."""
    confidence: FiniteFloat


@dataclass(frozen=True, slots=True)
class Forecast:
    """The capability delta that a campaign is expected to bring: mean and variance per member."""

    mean: dict[str, float]
    variance: dict[str, float]
    known: tuple[str, ...]
    """The members that were measured before; of the others the prior speaks."""
    confidence: float
    """Confidence of the known members, or of the prior if there are none."""
    entries: int
    """Campaigns of this strategy that it stands on."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Entries in the order in which they were made, and how often each strategy's belief had to be revised."""

    entries: tuple[Entry, ...] = ()
    revisions: dict[str, int] = field(default_factory=dict)

    def of(self, strategy: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.strategy == strategy]

    def doubt(self, strategy: str) -> float:
        """Multiplier of the strategy's variances, doubled with every revision."""
        return float(2 ** self.revisions.get(strategy, 0))

    def revised(self, strategy: str) -> Memory:
        """After a surprise: half the confidence in what was known of the strategy, twice the variance."""
        halved = (
            replace(entry, confidence=entry.confidence / 2) if entry.strategy == strategy else entry
            for entry in self.entries
        )
        return Memory(tuple(halved), self.revisions | {strategy: self.revisions.get(strategy, 0) + 1})

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": 1, **json.loads(_ADAPTER.dump_json(self))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Memory:
        """Raises ValidationError."""
        return _ADAPTER.validate_python({key: value for key, value in data.items() if key in ("entries", "revisions")})


_ADAPTER: TypeAdapter[Memory] = TypeAdapter(Memory)


def read_memory(path: Path) -> Memory:
    """The memory that a run has left. Raises InputError that names the file and what is wrong with it."""
    expected = "expected the memory.json of an earlier run"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); {expected}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT or data.get("version") != 1:
        raise InputError(f"{path}: not a capability-effect memory of version 1; {expected}")
    try:
        return Memory.from_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {where}: {first['msg']}, found {str(first['input'])[:60]!r}; {expected}") from None


@dataclass(frozen=True)
class Recollection:
    """Memory of campaigns, and the rules for its forecast: before the first campaign of a chain, or where
    there is no gate."""

    file: str | None = None
    """memory.json of an earlier run to start with; null: an empty one. The run writes its own into its directory."""
    strategy: str = "train"
    """Name of this chain's training recipe in the memory. If you carry a memory to a chain with another recipe, give
    that recipe another name: entries of one name are not used for another."""
    log10_parameters: float = 0.0
    """Size of the policy, as the context has it. The same throughout a chain, so that it only matters where a memory is
    carried to a policy of another size."""
    tau: Positive = 0.1
    """Standard deviation of the prior on every coefficient: a campaign is expected to do nothing, give or take ten
    points. The paper does not say."""
    sigma: Positive = 0.1
    """Standard deviation of a campaign's effect around the line. The paper does not say; ten points, as tau."""
    unit: Positive = 0.1
    """Confidence is 1 / (1 + mean variance / unit^2): with no unit, every forecast of a score that is a fraction would
    be near certain. The paper gives confidences and no formula."""

    tolerance: Share = 0.0
    """A forecast that pass@1 falls by more than this is harmful: pilot."""
    protects: tuple[Member, ...] = ("diversity", "hard_case_accuracy")
    """Members that must not fall, either. As in the one public re-implementation."""
    protected_loss: Share = 0.1
    """A forecast that a protected member falls by more than this: adapt. The paper does not say. Diversity falls by
    itself as more samples pass (crestfall.control.capability), so 0 would never reuse anything that works."""
    reject_loss: Share = 0.2
    """A forecast that pass@1 falls by more than this (the paper's collapse), held with `min_confidence`: reject."""
    min_confidence: Share = 0.4
    """Lowest confidence of a forecast for `reject`; below it, the plan is a `pilot`. The paper gives no value. With the
    defaults of sigma and unit no forecast exceeds 0.5, and two similar campaigns reach 0.4."""

    def recalled(self) -> Memory:
        """Raises InputError."""
        return Memory() if self.file is None else read_memory(Path(self.file))

    def forecast(self, memory: Memory, context: Context) -> Forecast:
        """Forecast of the next campaign, from all entries of the strategy."""
        entries, doubt = memory.of(self.strategy), memory.doubt(self.strategy)
        mean, variance = {}, {}
        for member in MEMBERS:
            mean[member], around = self._posterior(entries, member).predict(context.features_F(), self.sigma)
            variance[member] = doubt * around
        measured = tuple(member for member in MEMBERS if any(member in entry.delta for entry in entries))
        spread = [variance[member] for member in measured or MEMBERS]
        confidence = 1 / (1 + sum(spread) / len(spread) / self.unit**2)
        return Forecast(mean, variance, measured, confidence, len(entries))

    def judge(self, forecast: Forecast) -> tuple[Verdict, str]:
        """The verdict on a forecast, and why."""
        change = forecast.mean["pass_at_1"]
        falls = [member for member in self.protects if forecast.mean[member] < -self.protected_loss]
        if not forecast.entries:
            return "pilot", "memory holds nothing on this strategy"
        if change < -self.reject_loss and forecast.confidence >= self.min_confidence:
            return "reject", f"memory expects pass@1 to change by {change:+.3f}, with confidence"
        if change < -self.tolerance:
            return "pilot", f"memory expects pass@1 to change by {change:+.3f}"
        if falls:
            return "adapt", f"memory expects {falls[0]} to change by {forecast.mean[falls[0]]:+.3f}"
        return "reuse", f"memory expects pass@1 to change by {change:+.3f}"

    def recorded(self, memory: Memory, context: Context, delta: Mapping[str, float]) -> Memory:
        """Memory with the entry of one more campaign."""
        told = {member: delta[member] for member in MEMBERS if member in delta}
        entry = Entry(self.strategy, context, told, "", 0.0)  # type: ignore[arg-type]
        new = replace(memory, entries=(*memory.entries, entry))
        entry = replace(
            entry,
            boundary=self._boundary(new.of(self.strategy), context),
            confidence=self.forecast(new, context).confidence,
        )
        return replace(memory, entries=(*memory.entries, entry))

    def _posterior(self, entries: list[Entry], member: str) -> Posterior:
        posterior = Posterior.prior(5, self.tau)
        for entry in entries:
            if member in entry.delta:
                posterior = posterior.after(entry.context.features_F(), entry.delta[member], self.sigma)
        return posterior

    def _boundary(self, entries: list[Entry], context: Context) -> str:
        """The positive rate at which the expected change of pass@1 changes sign, all else as in `context`."""
        mean_F = self._posterior(entries, "pass_at_1").mean_F
        slope = float(mean_F[1])
        at_zero = float(mean_F @ replace(context, positive_rate=0.0).features_F())
        crossing = -at_zero / slope if slope else -1.0
        if not 0 < crossing < 1:
            return "harmful at any positive_rate" if at_zero + slope / 2 < 0 else "no harm at any positive_rate"
        return f"harmful when positive_rate {'>' if slope < 0 else '<'} {crossing:.2f}"
