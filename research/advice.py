"""Does the advice name the cause where it is known?

    python -m research.advice RUNS/advice --out docs/advice [--rl-doctor CMD]

RUNS is a study of `research/studies/advice.yaml`: each method is a fault that was put in. For every chain the first
campaign is analysed from its log alone (the configuration is not looked at). `--rl-doctor CMD` asks rl-doctor (package
rldoctor, in an environment of its own) about the same logs under TRL's keys. Writes the tables and chains.csv into DIR,
and the tables into DIR.md where there is such a page.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crestfall.analysis.advice.causes import CAUSES
from crestfall.analysis.analyze import Analysis, analyze
from crestfall.analysis.trajectory import Run, Trajectory, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.store.files import write_atomic
from research.paper.page import fill

NONE, FINE = "none found", "nothing fell"
TRUTH: Mapping[str, str | None] = {
    "healthy": None,
    "healthy_reinforce": None,
    "low_rate": "steps_too_small",
    "rate_too_high": "steps_too_large",
    "rate_too_high_reinforce": "steps_too_large",
    "small_batch": "steps_too_large",
    "many_updates": "several_updates",
    "many_updates_reinforce": "several_updates",
    "mismatch": "mismatch",
    "truncation": "truncation",
    "no_variance": "no_variance",
    "noisy_grader": "uninformative_reward",
    "hackable_reward": "reward_disagrees",
}
"""Method of the study: the cause that was put in; None: none."""
MEANT: Mapping[str, str] = {
    "advantage_collapse": "no_variance",
    "entropy_collapse": "entropy_collapse",
    "reward_hacking": "reward_disagrees",
    "reward_composition": "reward_disagrees",
    "length_pathology": "truncation",
    "clip_saturation": "several_updates",
    "kl_drift": "steps_too_large",
    "kl_pinned": "steps_too_small",
    "gradient_pathology": "steps_too_large",
    "gradient_zero": "no_variance",
    "plateau": NONE,
}
"""{rl-doctor's detector: crestfall's cause}. Two detectors cover two causes each: a KL that drifts or is pinned near 0,
gradients that explode or are 0. Its plateau is a symptom."""
TRL_KEYS: Mapping[str, str] = {
    "reward": "reward",
    "rewarded": "reward",
    "reward_std": "reward_std",
    "zero_variance_groups": "frac_reward_zero_std",
    "entropy": "entropy",
    "kl_base": "kl",
    "grad_norm": "grad_norm",
    "length": "completions/mean_length",
    "truncated": "completions/clipped_ratio",
    "clip_fraction": "clip_ratio/region_mean",
    "learning_rate": "learning_rate",
    "mismatch": "sampling/sampling_logp_difference/mean",
}
SEVERE = ("CRITICAL", "WARNING")


@dataclass(frozen=True)
class Row:
    """One chain: what was put in, what became of it, what was said. `all_named`: every cause with evidence."""

    method: str
    seed: int
    truth: str
    label: str
    named: str
    all_named: str
    doctor: str = ""
    doctor_all: str = ""

    @property
    def in_trouble(self) -> bool:
        return self.named != FINE


def row_of(run: Run, doctor: Sequence[str] | None) -> Row:
    """Raises InputError for a method whose fault is not known."""
    if run.method not in TRUTH:
        raise InputError(f"{run.path}: nobody said what is wrong with method {run.method!r}; known: {', '.join(TRUTH)}")
    analysis = analyze(run.campaigns[0])
    suspects = [s.cause.name for s in analysis.advice.suspects]
    found = [] if doctor is None else asked(run.campaigns[0], doctor)
    return Row(
        run.method,
        run.seed,
        TRUTH[run.method] or "healthy",
        analysis.classification.label,
        suspects[0] if suspects else FINE if _is_fine(analysis) else NONE,
        " ".join(suspects),
        "" if doctor is None else found[0] if found else NONE,
        " ".join(found),
    )


def _is_fine(analysis: Analysis) -> bool:
    return analysis.advice.says.startswith("nothing fell")


def asked(trajectory: Trajectory, command: Sequence[str]) -> list[str]:
    """The detectors of rl-doctor that warn, the severest first. Raises InputError where it cannot be asked."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        log.write_text(as_trl(trajectory), encoding="utf-8")
        done = subprocess.run(
            [*command, "diagnose", str(log), "--format", "json"], capture_output=True, text=True, check=False
        )
    try:
        findings = json.loads(done.stdout)["findings"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{shlex.join(command)}: {done.stderr.strip()[-200:] or error}") from None
    severe = [f for f in findings if f["severity"] in SEVERE]
    return [_said(f) for f in sorted(severe, key=lambda f: SEVERE.index(f["severity"]))]


def _said(finding: Mapping[str, Any]) -> str:
    name, numbers = str(finding["detector"]), finding.get("metrics", {})
    if name == "kl_drift" and numbers.get("kl_max", 1.0) <= 1e-4:
        return "kl_pinned"
    if name == "gradient_pathology" and numbers.get("zero_grad_step_frac", 0.0) >= 0.2:
        return "gradient_zero"
    return name


def as_trl(trajectory: Trajectory) -> str:
    """The log under TRL's keys, and the held-out score as `eval_score`."""
    rows: dict[int, dict[str, float]] = {}
    for step, value in zip(trajectory.steps_S.tolist(), trajectory.judged_S.tolist(), strict=True):
        rows[step] = {"step": step, "eval_score": value}
    for signal, key in TRL_KEYS.items():
        if signal in trajectory.signals:
            series = trajectory.signals[signal]
            for step, value in zip(series.steps_S.tolist(), series.values_S.tolist(), strict=True):
                rows[step][key] = value
    return "".join(json.dumps(rows[step]) + "\n" for step in sorted(rows))


def matrix(rows: Sequence[Row], said: Mapping[Row, str]) -> str:
    """Cause that was put in, by what was said of it; chains."""
    known = dict.fromkeys([*filter(None, TRUTH.values()), *sorted(said.values())])
    columns = [c for c in known if c in said.values() or c in {r.truth for r in rows}]
    columns = [c for c in columns if c not in (NONE, FINE)] + [c for c in (NONE, FINE) if c in said.values()]
    lines = ["| put in | chains | " + " | ".join(c.replace("_", " ") for c in columns) + " |"]
    lines.append("|" + "---|" * (len(columns) + 2))
    for truth in dict.fromkeys(t or "healthy" for t in TRUTH.values()):
        own = [r for r in rows if r.truth == truth]
        if own:
            counts = Counter(said[r] for r in own)
            cells = [(f"**{counts[c]}**" if c == truth else str(counts[c])) if counts[c] else "" for c in columns]
            lines.append(f"| {truth.replace('_', ' ')} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def summary(rows: Sequence[Row], doctor: bool) -> str:
    """Shares: right first, right among those named, healthy chains accused."""
    faulty = [r for r in rows if r.truth != "healthy"]
    trouble = [r for r in faulty if r.in_trouble]
    healthy = [r for r in rows if r.truth == "healthy"]
    lines = ["| | crestfall |" + (" rl-doctor |" if doctor else ""), "|---|---|" + ("---|" if doctor else "")]

    def line(name: str, ours: int, theirs: int, of: int) -> None:
        lines.append(f"| {name} | {ours} of {of} |" + (f" {theirs} of {of} |" if doctor else ""))

    def meant(row: Row) -> list[str]:
        return [MEANT.get(name, name) for name in row.doctor_all.split()]

    line(
        "fault put in and the score fell or stalled: named first",
        sum(r.named == r.truth for r in trouble),
        sum(meant(r)[:1] == [r.truth] for r in trouble),
        len(trouble),
    )
    line(
        "... named at all",
        sum(r.truth in r.all_named.split() for r in trouble),
        sum(r.truth in meant(r) for r in trouble),
        len(trouble),
    )
    line(
        "... a wrong cause named first",
        sum(r.named not in (r.truth, NONE) for r in trouble),
        sum(bool(meant(r)) and meant(r)[0] not in (r.truth, NONE) for r in trouble),
        len(trouble),
    )
    line(
        "nothing put in: accused",
        sum(bool(r.all_named) for r in healthy),
        sum(bool(meant(r)) for r in healthy),
        len(healthy),
    )
    fine = [r for r in faulty if not r.in_trouble]
    named = sum(r.truth in r.all_named.split() for r in fine)
    line(
        "fault put in and the score rose all the same: named", named, sum(r.truth in meant(r) for r in fine), len(fine)
    )
    return "\n".join(lines) + "\n"


def causes() -> str:
    """The table of causes."""
    lines = ["| cause | needs one of | refuted by | change | shown by |", "|---|---|---|---|---|"]
    for c in CAUSES:
        needs = ", ".join(f"`{name}`" for name in c.signals)
        lines.append(f"| `{c.name}`: {c.title} | {needs} | {c.refuted_by} | {c.change} | {c.source} |")
    return "\n".join(lines) + "\n"


def by_method(rows: Sequence[Row]) -> str:
    lines = ["| method | chains | classes | crestfall, first | rl-doctor, first |", "|---|---|---|---|---|"]
    for method in TRUTH:
        own = [r for r in rows if r.method == method]
        if own:
            cells = (_counted(r.label for r in own), _counted(r.named for r in own), _counted(r.doctor for r in own))
            lines.append(f"| {method} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in Counter(words).most_common() if word)


def main(argv: Sequence[str] | None = None) -> int:
    parser = script_parser("research.advice", __doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rl-doctor", metavar="CMD", help="the command to ask, as rl-doctor or /path/to/rl-doctor")
    args = parser.parse_args(argv)
    doctor = None if args.rl_doctor is None else shlex.split(args.rl_doctor)
    rows = [row_of(run, doctor) for run in read_study(args.study).runs if run.status == "done"]
    if not rows:
        raise InputError(f"{args.study}: no chain is finished")
    args.out.mkdir(parents=True, exist_ok=True)
    pages = {
        "causes.md": causes(),
        "summary.md": summary(rows, doctor is not None),
        "matrix.md": matrix(rows, {r: r.named for r in rows}),
        "methods.md": by_method(rows),
    }
    if doctor is not None:
        pages["rl_doctor.md"] = matrix(rows, {r: MEANT.get(r.doctor, r.doctor) for r in rows})
    for name, text in pages.items():
        write_atomic(args.out / name, text)
        print(f"{name}\n{text}")
    write_atomic(args.out / "chains.csv", _csv(rows))
    page = args.out.with_suffix(".md")
    if page.is_file():
        blocks = {name.removesuffix(".md"): text for name, text in pages.items()}
        write_atomic(page, fill(page.read_text(encoding="utf-8"), blocks))
    return 0


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(asdict(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(guarded(main))
