"""Try every family of `zoo` and write the table into a page, between its two marks.

python -m research.families docs/models.md
python -m research.families --only Mamba Lfm2
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError
from crestfall.store.files import write_atomic

if TYPE_CHECKING:
    from research.families.check import Result

BEGIN, END = "<!-- families: made by python -m research.families docs/models.md -->", "<!-- /families -->"


def table(results: list[Result], version: str) -> str:
    rows = [
        f"{sum(r.right for r in results)} of {len(results)} families, transformers {version}.",
        "",
        "| family | sampled by | equal samples | replayed on CUDA | gradient's relative error | rollback |",
        "|---|---|---|---|---|---|",
    ]
    for r in results:
        if r.error:
            rows.append(f"| {r.family} | | | | | {r.error} |")
        else:
            way = "shared prompts" if r.shares else "`generate`"
            exact = "exact" if r.rollback else "**not exact**"
            again = "no" if r.replayed is None else f"yes, {100 * r.replayed:.0f}% equal"
            rows.append(f"| {r.family} | {way} | {100 * r.samples:.0f}% | {again} | {r.gradient:.0e} | {exact} |")
    return "\n".join(rows)


def parts(page: Path) -> tuple[str, str]:
    """Text before and after the table. Raises InputError for a page without its two marks."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{page}: expected the lines {BEGIN} and {END} in it")
    return before, after


def main(argv: list[str] | None = None) -> int:
    parser = script_parser("research.families", __doc__)
    parser.add_argument("page", type=Path, nargs="?", help="the page to write into (default: print)")
    parser.add_argument("--only", nargs="*", metavar="FAMILY")
    args = parser.parse_args(argv)
    before, after = parts(args.page) if args.page is not None else ("", "")
    import torch
    import transformers

    from research.families.check import check
    from research.families.zoo import FAMILIES

    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    results = []
    for name in FAMILIES:
        if not args.only or name.partition(":")[0] in args.only:
            results.append(check(name))
            print(results[-1], file=sys.stderr, flush=True)
    made = table(results, transformers.__version__)
    if args.page is None:
        print(made)
    else:
        write_atomic(args.page, f"{before}{BEGIN}\n{made}\n{END}{after}")
    return 0 if all(r.right for r in results) else 1


if __name__ == "__main__":
    sys.exit(guarded(main))
