"""Check crestfall on a GPU, the most important part first; results are written after every check.

    python -m research.gpu_check --out DIR            needs a GPU, torch and transformers; under nine minutes
    python -m research.gpu_check --rehearse --out DIR the same at a small size on a CPU, minutes

No network. What is not installed is skipped with a line. Ends with 0 when nothing that was checked is wrong, else 1.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crestfall.core.entry import guarded, script_parser


def main(argv: list[str] | None = None) -> int:
    parser = script_parser("research.gpu_check", __doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--budget", type=float, default=520.0, help="seconds for everything (default: %(default)s)")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="checks to make (default: all)")
    args = parser.parse_args(argv)
    end = time.monotonic() + args.budget
    import torch
    import transformers

    from research.gpu_check.checks import checks
    from research.gpu_check.place import Place
    from research.gpu_check.report import Report

    transformers.logging.set_verbosity_error()
    if not (args.rehearse or torch.cuda.is_available()):
        print("gpu_check: torch finds no GPU here; --rehearse runs it at a small size on the CPU", file=sys.stderr)
        return 2
    if args.rehearse:
        torch.set_num_threads(1)  # other threads of a shared machine would be waited for
    device = "cpu" if args.rehearse else "cuda"
    name = "a CPU (rehearsal)" if args.rehearse else torch.cuda.get_device_name()
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
        report = Report(args.out, f"crestfall on {name}")
        place = Place(device, Path(scratch), args.out, args.rehearse)
        for check in checks(args.rehearse):
            if not args.only or check.name in args.only:
                report.finish(_made(check, place, end))
                print(report.last, flush=True)
    for line in report.wrong:
        print(f"wrong: {line}", flush=True)
    return 1 if report.wrong else 0


def _made(check: Any, place: Any, end: float) -> Any:
    """The section of a check: whatever happens in it, the next one follows."""
    from research.gpu_check.report import Section, Skipped

    section = Section(check.name, " ".join((check.run.__doc__ or "").split()))
    left, start = end - time.monotonic(), time.monotonic()
    if left < check.seconds:
        section.status, section.why = "skipped", f"{left:.0f} s were left, and it may take {check.seconds:.0f}"
        return section
    try:
        with _limit(left):
            check.run(place, section)
    except Skipped as reason:
        section.status, section.why = "skipped", str(reason)
    except Exception as error:  # a check that fails must not take the others with it
        traceback.print_exc()
        section.status, section.why = "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
    section.seconds = time.monotonic() - start
    place.clean()
    return section


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """TimeoutError in what takes longer, as soon as Python has a say."""

    def late(*_: Any) -> None:
        raise TimeoutError(f"not done in {seconds:.0f} s")

    previous = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, max(1.0, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


if __name__ == "__main__":
    sys.exit(guarded(main))
