"""The tables of docs/llm.md from a study directory: what each arm did, and how much of it is form.

    python -m research.llm runs/llm [--curves CSV] [--unfinished]

A **peak** is chosen on select and scored on report. **form**: the share of the training samples whose program parses;
**skill**: the share of these that pass. pass@1 is their product. **competence** on the final set counts what is printed
for returned; **unseen**: families of problems that were never trained on. Cells that are not finished are left out,
unless `--unfinished` asks for what they have.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crestfall.analysis.trajectory import Run, Trajectory, read_study
from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.core.types import Evaluation, Verdict

WITHOUT_FORM = {Verdict.NO_CODE.value, Verdict.SYNTAX_ERROR.value}


@dataclass(frozen=True)
class Form:
    """Form of the samples of a training step."""

    form: float
    skill: float

    @classmethod
    def of(cls, verdicts: Mapping[str, int]) -> Form:
        total = sum(verdicts.values())
        formed = total - sum(count for verdict, count in verdicts.items() if verdict in WITHOUT_FORM)
        return cls(formed / max(total, 1), verdicts.get(Verdict.PASSED.value, 0) / max(formed, 1))


def numbers(run: Run) -> dict[str, float]:
    """Scores of a chain of one campaign, in percent."""
    campaign = run.campaigns[0]
    scored = campaign.judged_S
    peak = int(np.argmax(campaign.values_S))
    finals = {final.when: final.evaluation for final in run.finals}
    # What was not trained beyond the step handed on is scored once.
    handed_on = finals.get("handed_on", finals.get("end"))
    out = {
        "start": scored[0],
        "peak": scored[peak],
        "end": scored[-1],
        "gap": scored[peak] - scored[-1],
    }
    scored_finals = {"start": finals.get("start"), "end": finals.get("end"), "handed on": handed_on}
    out |= {f"final {name}": found.pass_at_1 for name, found in scored_finals.items() if found is not None}
    for name in ("start", "handed on"):
        found = scored_finals[name]
        if found is not None and found.competence is not None:
            out[f"competence {name}"] = found.competence
    for event in run.extra.get("ood", ()):
        out[f"unseen {str(event['when']).replace('_', ' ')}"] = Evaluation.from_json(event["evaluation"]).pass_at_1
    forms = forms_of(campaign)
    if forms:
        first, last = forms[min(forms)], forms[max(forms)]
        out |= {"form first": first.form, "form last": last.form, "skill first": first.skill, "skill last": last.skill}
    return {name: 100 * float(value) for name, value in out.items()}


def forms_of(campaign: Trajectory) -> dict[int, Form]:
    """Forms by step, from step 1 on."""
    verdicts = {} if campaign.facts is None else campaign.facts.verdicts
    return {step: Form.of(counts) for step, counts in verdicts.items() if counts}


def table(arms: Mapping[str, Sequence[Run]]) -> str:
    """Markdown: a row an arm, means over seeds; in brackets the smallest and the largest."""
    rows = {name: [numbers(run) for run in runs] for name, runs in arms.items()}
    heads = list(dict.fromkeys(key for some in rows.values() for row in some for key in row))
    lines = [f"| arm | n | {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) + 1)]
    for name, some in rows.items():
        cells = [_spread([row[head] for row in some if head in row]) for head in heads]
        lines.append(f"| {name} | {len(some)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = f"{np.mean(values):.0f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.0f}-{max(values):.0f})"


def curves(arms: Mapping[str, Sequence[Run]]) -> Iterator[dict[str, object]]:
    """A row per evaluation: every curve, with its n."""
    for name, runs in arms.items():
        for run in runs:
            campaign = run.campaigns[0]
            forms = forms_of(campaign)
            for i, step in enumerate(campaign.steps_S):
                known = {n: s.values_S[s.steps_S == step] for n, s in campaign.signals.items()}
                form = forms.get(int(step))
                yield {
                    "method": name,
                    "seed": run.seed,
                    "step": int(step),
                    "select": round(float(campaign.values_S[i]), 4),
                    "report": round(float(campaign.judged_S[i]), 4),
                    "samples": None if campaign.counts_SP is None else campaign.counts_SP.shape[1] * (campaign.n or 0),
                    "form": None if form is None else round(form.form, 4),
                    "skill": None if form is None else round(form.skill, 4),
                    **{n: float(f"{known[n][0]:.4g}") for n in SIGNALS if n in known and len(known[n])},
                }


SIGNALS = ("kl_base", "length", "truncated", "entropy", "step_size", "step_share", "learning_rate")


def arms_of(study: Path, unfinished: bool = False) -> dict[str, list[Run]]:
    """Cells by method, finished ones or all that have a curve. Raises InputError where there are none."""
    found = {
        name: [run for run in runs if (run.campaigns if unfinished else run.status == "done")]
        for name, runs in read_study(study).by_method().items()
    }
    found = {name: runs for name, runs in found.items() if runs}
    if not found:
        raise InputError(f"{study}: no {'curve' if unfinished else 'finished cell'}")
    return found


def write_curves(path: Path, arms: Mapping[str, Sequence[Run]]) -> None:
    rows = list(curves(arms))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input (one line on stderr)."""
    parser = script_parser("research.llm", __doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--curves", type=Path, metavar="CSV", help="write every curve there")
    parser.add_argument("--unfinished", action="store_true", help="cells that were stopped, too")
    args = parser.parse_args(argv)
    arms = arms_of(args.study, args.unfinished)
    print(table(arms))
    if args.curves:
        write_curves(args.curves, arms)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
