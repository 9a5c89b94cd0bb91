"""Compute the published figures again from the tables of their sources.

    python benchmarks/published.py --runs FOLDER [--write]

FOLDER holds the tables of past runs and their manifest.json. Figures are means, differences and
ratios within one source, at one condition; `metadata/data/published.csv` keeps them and none of the
tables. Prints how many come from where, what differs from the shipped file, and figures of sources
that state no licence, which are never shipped. The result is 1 where something differs, and
--write puts the new figures in the shipped file's place.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import isclose
from pathlib import Path
from typing import Any

from published_checks import full_checks, glue_checks
from published_comparison import comparison_figures, image_figures
from published_growth import architecture_figures, indic_figures, rank_figures
from published_laws import law_figures
from published_rates import rate_figures
from published_sources import UNLICENSED

from metadata.published import PUBLISHED_FILE, Figure, read_figures, write_figures

SHIPPED = (
    comparison_figures,
    image_figures,
    rate_figures,
    rank_figures,
    architecture_figures,
    indic_figures,
    law_figures,
)
CHECKS = (glue_checks, full_checks)
# Last digits of a mean or a fit may differ between processors; a table's would differ by more.
TOLERANCE = 0.01
NUMBERS = ("value", "low", "high")


def main() -> int:
    """Make the figures, compare them with those shipped; 1 where they differ."""
    options = _parse()
    made = tuple(chain.from_iterable(make(options.runs) for make in SHIPPED))
    unlicensed = {one.source for one in made if one.licence == UNLICENSED}
    if unlicensed:
        raise SystemExit(f"Only figures with a licence ship, got {', '.join(sorted(unlicensed))}.")
    if options.write:
        write_figures(PUBLISHED_FILE, made)
        read_figures.cache_clear()
    _print_counts(made)
    _print_checks(chain.from_iterable(make(options.runs) for make in CHECKS))
    differences = list(_differences(made, read_figures() if PUBLISHED_FILE.exists() else ()))
    for line in differences:
        print(line)
    print(f"differences to the shipped file: {len(differences)}")
    return bool(differences)


def _differences(made: Sequence[Figure], shipped: Sequence[Figure]) -> Iterator[str]:
    """Yield a line for each figure that is new, gone or has another value."""
    new, old = ({_key(one): one for one in figures} for figures in (made, shipped))
    yield from (f"not shipped: {_shown(new[key])}" for key in new if key not in old)
    yield from (f"not made: {_shown(old[key])}" for key in old if key not in new)
    for key in new.keys() & old.keys():
        if not all(_is_near(getattr(new[key], name), getattr(old[key], name)) for name in NUMBERS):
            yield f"shipped {_shown(old[key])}, made {_shown(new[key])}"


def _key(figure: Figure) -> tuple[Any, ...]:
    said = figure.model_dump(exclude={*NUMBERS, "condition"})  # a fit's condition names its error
    return (*said.values(), figure.condition.partition("; error")[0])


def _is_near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return isclose(one, other, rel_tol=TOLERANCE)


def _print_counts(figures: Sequence[Figure]) -> None:
    print(f"{len(figures)} figures of {len({one.source for one in figures})} sources")
    for (name, source), count in Counter((one.figure, one.source) for one in figures).items():
        print(f"  {name:<26}{source:<42}{count:>4}")


def _print_checks(figures: Iterable[Figure]) -> None:
    print("of sources without a licence, to hold against, never shipped:")
    for one in figures:
        print(f"  {_shown(one)}")


def _shown(figure: Figure) -> str:
    what = (figure.method, figure.model, figure.task, figure.rank, figure.examples)
    where = " ".join(str(one) for one in what if one)
    ends = [f"{end:g}" for end in (figure.low, figure.high) if end is not None]
    around = f" ({' to '.join(ends)})" if ends else ""
    return f"{figure.figure} {where}: {figure.value:g}{around} {figure.unit}, {figure.source}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compute the published figures again.")
    parser.add_argument("--runs", type=Path, required=True, help="folder with manifest.json")
    parser.add_argument("--write", action="store_true", help="replace the shipped figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
