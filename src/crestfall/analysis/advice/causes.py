"""The table of causes: what each looks like in a log, who showed it, what would refute it, what to change.

A cause is one entry: add one here and text, `--json` and page have it. Its test gets a `Case` and gives the evidence,
none where there is none. Thresholds were tuned on seeds 100 to 107 of the testbed alone; docs/advice.md has the
confusion matrix on others. The order of the table is that of the answer: what points at one fault before what any
collapse shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from crestfall.analysis.advice.case import Case, Kind
from crestfall.analysis.advice.evidence import Evidence, broke, p_value_of_rise, peaked, rose, stood
from crestfall.analysis.classify import FALLEN
from crestfall.analysis.noise import bin_means, noise_of
from crestfall.analysis.scan import SIGNIFICANCE, fall_of

DAPO = "Yu et al. 2025 (DAPO, arXiv 2503.14476)"
REGIMES = "docs/regimes.md"


@dataclass(frozen=True)
class Cause:
    """`signals`: it can be tested where one of them is in the log (`parts`: of the reward). `kinds`: of runs that it
    can explain."""

    name: str
    title: str
    signals: tuple[str, ...]
    kinds: frozenset[Kind]
    test: Callable[[Case], list[Evidence]]
    source: str
    refuted_by: str
    change: str


FALLS: frozenset[Kind] = frozenset(("fell", "crashed"))
STALLS: frozenset[Kind] = frozenset(("stalled",))


def _some(evidence: Iterable[Evidence | None]) -> list[Evidence]:
    return [e for e in evidence if e is not None]


# --- tests ----------------------------------------------------------------------------------------------------------


def _grader(case: Case) -> list[Evidence]:
    """Timeouts or faults of the grader rose before half of the fall was over, or stand high in a run that stalls."""
    names = ("grader_faults", "timeouts")
    if case.kind == "stalled":
        return _some(stood(case, name, case.done, 0.2) for name in names)
    return _some(rose(case, name, case.middle, 0.05) for name in names) or _unmoved(case)


def _unmoved(case: Case) -> list[Evidence]:
    """The score fell off a cliff while the policy can hardly have moved: what did not change did not become worse.

    The roots of both KLs to a policy that stays where it is are the longest way between two steps.
    """
    series = case.signals.get("kl_start") or case.signals.get("kl_base")
    if series is None or case.middle - case.onset > max(1, (case.done - case.first) // 10):
        return []
    late = series.steps_S[series.steps_S > case.done]
    if not len(late) and case.done < case.steps_S[-1]:
        return []
    values_S = series.within(case.onset, int(late[0]) if len(late) else case.done).values_S
    if len(values_S) < 2 or 4 * float(values_S.max()) > UNMOVED:
        return []
    most = 4 * float(values_S.max())
    text = f"the score fell by {case.fall:.2f} while no step can have moved the policy by more than {most:.2g} nats"
    return [Evidence("kl_base", case.middle, float(values_S[0]), float(values_S[-1]), None, text)]


UNMOVED = 1e-3
"""Nats per token: a policy that moves so little gives nearly the same answers."""


def _truncation(case: Case) -> list[Evidence]:
    """The rise in cut-off completions accounts for half of the fall; or a large share was cut off all along."""
    if case.kind in ("stalled", "rose"):
        return _some([stood(case, "truncated", case.done, 0.3)])
    found = rose(case, "truncated", case.middle, 0.05)
    lost = case.fall / 2 if 0 < case.fall <= 1 else 0.1
    return [found] if found is not None and found.after - found.before >= lost / 2 else []


def _mismatch(case: Case) -> list[Evidence]:
    if case.kind == "stalled":
        return _some([stood(case, "mismatch", case.done, 0.03)])
    return _some([rose(case, "mismatch", case.middle, 0.02)]) or _some([stood(case, "mismatch", case.onset, 0.03)])


def _disagreement(case: Case) -> list[Evidence]:
    """The training reward, or a part of it, rose or held while the score fell; or rose while the score stalled."""
    found = []
    if case.trajectory.metric != "reward" and case.trajectory.role == "evaluation" and "reward" in case.signals:
        found += _held(case, "reward")
    part = next((m for m, role, c in case.others if role == "part" and c.label == "rise"), None)
    fallen = next((m for m, role, c in case.others if role == "part" and c.label in FALLEN), None)
    if part is not None and fallen is not None:
        of = next(c for m, _, c in case.others if m == part)
        text = f"{part} rose from {of.levels.start.value:.3g} to {of.levels.end.value:.3g} while {fallen} fell"
        found.append(Evidence(part, case.done, of.levels.start.value, of.levels.end.value, of.p_rise, text))
    return found


def _held(case: Case, name: str) -> list[Evidence]:
    series = case.until(name, int(case.steps_S[-1]), start_up=True)
    if len(series) < 6:
        return []
    values_S = bin_means(series.values_S)
    noise = noise_of(values_S)
    fall, p_rise = fall_of(values_S, noise), p_value_of_rise(values_S)
    rose_too = p_rise < SIGNIFICANCE
    width = max(2, len(values_S) // 5)
    before, after = float(values_S[:width].mean()), float(values_S[-width:].mean())
    lost = case.score(case.onset) - case.score(int(case.steps_S[-1])) if case.kind != "stalled" else 0.0
    if not rose_too or fall.p_value < SIGNIFICANCE or after - before < max(0.1, lost / 2):
        return []
    what = "did not rise" if case.kind == "stalled" else f"fell by {case.fall:.2f}"
    text = f"the training reward rose from {before:.3g} to {after:.3g} (p-value {p_rise:.3f}), the score {what}"
    return [Evidence(name, int(series.steps_S[-1]), before, after, p_rise, text)]


def _several_updates(case: Case) -> list[Evidence]:
    """Later updates of a batch are far from the policy that sampled it."""
    return _some(
        [
            stood(case, "off_policy_kl", case.onset, 0.005) or rose(case, "off_policy_kl", case.middle, 0.01),
            stood(case, "clip_fraction", case.onset, 0.1) or rose(case, "clip_fraction", case.middle, 0.1),
        ]
    )


def _no_variance(case: Case) -> list[Evidence]:
    """Before a fall: the share of groups without a signal rises first. Of a stalled run: it is high all along."""
    if case.kind == "stalled":
        return _some([stood(case, "zero_variance_groups", case.done, 0.7)])
    return _some([rose(case, "zero_variance_groups", case.onset, 0.9)])


def _steps_too_large(case: Case) -> list[Evidence]:
    return _some(
        [
            peaked(case, "step_kl", case.middle, 0.02),
            peaked(case, "step_size", case.middle, 0.02),
            broke(case, "kl_base", case.middle, up=True, factor=2),
            broke(case, "grad_norm", case.middle, up=True, factor=1.5),
            broke(case, "entropy", case.middle, up=True, factor=1.2),
        ]
    )


def _entropy_collapse(case: Case) -> list[Evidence]:
    found = broke(case, "entropy", case.onset, up=False, factor=3)
    return _some([found])


def _steps_too_small(case: Case) -> list[Evidence]:
    """The policy is where it was."""
    for name in ("kl_base", "kl_start"):
        series = case.signals.get(name)
        if series is not None and len(series) >= 5 and 0 < float(series.values_S.max()) < 1e-3:
            top = float(series.values_S.max())
            text = f"{name.replace('_', ' ')} never exceeded {top:.2g} nats per token: the policy has hardly moved"
            return [Evidence(name, case.done, top, top, None, text)]
    return []


def _uninformative(case: Case) -> list[Evidence]:
    """The policy moves, groups differ, and the reward does not rise: it rewards nothing that can be learnt."""
    kl, reward = case.signals.get("kl_base"), case.signals.get("reward")
    if kl is None or reward is None or len(reward) < 8 or float(kl.values_S.max()) < 0.01:
        return []
    values_S = bin_means(reward.values_S)
    p_value, width = p_value_of_rise(values_S), max(2, len(values_S) // 5)
    # A short log shows no rise significantly: one that can be seen speaks against this all the same.
    risen = float(values_S[-width:].mean() - values_S[:width].mean()) > 0.1
    if p_value < SIGNIFICANCE or risen or _no_variance(case):
        return []
    top = float(kl.values_S.max())
    text = (
        f"the policy moved (KL to the base {top:.2g} nats per token), the reward did not rise (p-value {p_value:.2f})"
    )
    return [Evidence("reward", case.done, float(values_S[0]), float(values_S[-1]), p_value, text)]


# --- the table ------------------------------------------------------------------------------------------------------

CAUSES: tuple[Cause, ...] = (
    Cause(
        "grader",
        "a grader at fault: timeouts or errors counted as failures",
        ("timeouts", "grader_faults", "kl_base", "kl_start"),
        FALLS | STALLS,
        _grader,
        "evalplus issue 5 (one machine's timeouts are another's failures); verl pull request 207 (timed-out tasks "
        "score 0)",
        "grade the samples of the worst step again, on a quiet machine: the grader is not at fault if they fail again",
        "report the grader's faults apart from wrong answers and leave them out of the reward; measure CPU time "
        "instead of wall time; fewer graders at a time",
    ),
    Cause(
        "truncation",
        "truncation read as failure: completions reach the token limit",
        ("truncated",),
        FALLS | STALLS | {"rose"},
        _truncation,
        f"TRL issue 5697 (97% cut off, all scored 0); {DAPO}, overlong filtering",
        "evaluate the same weights with twice the token limit: refuted if the score stays",
        "raise the token limit, or leave truncated completions out of the loss (TRL: mask_truncated_completions)",
    ),
    Cause(
        "mismatch",
        "sampler and trainer disagree on the log-probs of the same tokens",
        ("mismatch",),
        FALLS | STALLS,
        _mismatch,
        "Yao et al. 2025 (Your Efficient RL Framework Secretly Brings You Off-Policy RL Training); Qi et al. 2025 "
        "(arXiv 2510.26788); TRL issue 4159 (temperature left out on one side)",
        "score one batch with the trainer right after sampling, before any update: refuted if the log-probs agree "
        "within 0.01",
        "same temperature, top-p and precision on both sides; sync weights before sampling; correct by truncated "
        "importance sampling",
    ),
    Cause(
        "reward_disagrees",
        "the reward is no longer what is evaluated: hacked, or the training problems memorised",
        ("reward", "parts"),
        FALLS | STALLS | {"split"},
        _disagreement,
        "Gao et al. 2022 (arXiv 2210.10760); TRL issue 5790 (best by reward is the worst checkpoint)",
        "grade 20 high-reward training samples with the evaluation's grader, and read them: refuted as hacking if they "
        "pass (then they are memorised)",
        "close the hole in the reward, or train on more problems; choose checkpoints by the evaluation, not by the "
        "reward",
    ),
    Cause(
        "several_updates",
        "several updates on one batch: the later ones are off-policy",
        ("off_policy_kl", "clip_fraction"),
        FALLS,
        _several_updates,
        f"{REGIMES} (one update a batch: 6 of 48 chains fall, five: 28 of 48); TRL issue 2980 (num_iterations 4); "
        "Schulman et al. 2017 (PPO, arXiv 1707.06347)",
        "the same run with one update a batch and the same learning rate: refuted if it falls too",
        "one update a batch (TRL: num_iterations=1; verl: ppo_epochs=1, ppo_mini_batch_size = train_batch_size), or a "
        "smaller learning rate",
    ),
    Cause(
        "no_variance",
        "groups without variance: all rewards equal, so no gradient",
        ("zero_variance_groups",),
        FALLS | STALLS,
        _no_variance,
        f"{DAPO}, dynamic sampling; TRL issue 3857 (frac_reward_zero_std 1, loss 0)",
        "train on problems that pass at 20 to 80% of samples: refuted if the score still does not move",
        "leave out problems that always or never pass, larger groups, a higher sampling temperature",
    ),
    Cause(
        "steps_too_large",
        "steps too large for the information in a batch",
        ("step_kl", "step_size", "kl_base", "grad_norm", "entropy"),
        FALLS,
        _steps_too_large,
        f"{REGIMES} (rate, updates a batch and batch size decide); Schulman et al. 2015 (TRPO, arXiv 1502.05477: steps "
        "of 0.01 nats)",
        "the same run from the same checkpoint at a quarter of the learning rate: refuted if it falls as soon",
        "a quarter of the learning rate, a warm-up, more problems a step, or steps of one size (docs/pace.md)",
    ),
    Cause(
        "entropy_collapse",
        "entropy collapsed: nothing left to explore",
        ("entropy",),
        FALLS | STALLS,
        _entropy_collapse,
        f"Cui et al. 2025 (arXiv 2505.22617); {DAPO}, clip-higher",
        "sample the peak's weights at a higher temperature: refuted if pass@k does not rise",
        "a higher clip bound for what grows (clip-higher), an entropy bonus, a higher sampling temperature",
    ),
    Cause(
        "steps_too_small",
        "steps too small: the policy has hardly moved",
        ("kl_base", "kl_start"),
        STALLS,
        _steps_too_small,
        f"{REGIMES} (at 3e-4 every healthy cell has moved far by step 20)",
        "ten times the learning rate: refuted if the score still does not move",
        "raise the learning rate, or lower the KL penalty that holds the policy",
    ),
    Cause(
        "uninformative_reward",
        "the reward carries little information: the policy moves and earns no more",
        ("reward", "kl_base"),
        STALLS,
        _uninformative,
        "Shao et al. 2025 (Spurious Rewards, arXiv 2506.10947)",
        "grade one batch twice, and the references of its problems: refuted if verdicts agree and references pass",
        "check the grader for noise; a smaller learning rate; easier problems",
    ),
)
