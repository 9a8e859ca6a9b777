"""Try every family of `zoo` and write the table into a page, between its two marks.

python -m research.families docs/models.md
python -m research.families --only Mamba Lfm2
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from research.families.check import Result, check
from research.families.zoo import FAMILIES

BEGIN, END = "<!-- families: made by python -m research.families docs/models.md -->", "<!-- /families -->"


def table(results: list[Result], version: str) -> str:
    rows = [
        f"{sum(r.right for r in results)} of {len(results)} families, transformers {version}.",
        "",
        "| family | sampled by | equal samples | gradient's relative error | rollback |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        if r.error:
            rows.append(f"| {r.family} | | | | {r.error} |")
        else:
            way = "shared prompts" if r.shares else "`generate`"
            exact = "exact" if r.rollback else "**not exact**"
            rows.append(f"| {r.family} | {way} | {100 * r.samples:.0f}% | {r.gradient:.0e} | {exact} |")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, nargs="?", help="the page to write into (default: print)")
    parser.add_argument("--only", nargs="*", metavar="FAMILY")
    args = parser.parse_args(argv)
    import torch
    import transformers

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
        before, _, rest = args.page.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        args.page.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")
    return 0 if all(r.right for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
