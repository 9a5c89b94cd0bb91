"""How far the formulas for a step's costs are from the step simulated on fake tensors.

    python benchmarks/formulas.py [--table FILE]

The service answers by the formulas (`metadata/footprint.py`), as it has no torch. The table,
shipped or made by `python -m training_worker simulate-table`, holds steps of every method on public
models; none of it was used to fit a formula. Printed are the errors by quantity, by method the
errors of the peak, and what weights, gradients and optimizer state alone would have said of it.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, median

from metadata.simulated_rows import QUANTITIES, SHIPPED_STEPS, SimulatedRow, read_rows

ALONE = "weights, gradients and state"


def main() -> int:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, default=SHIPPED_STEPS)
    rows = list(read_rows(parser.parse_args().table))
    models = {row.model.id for row in rows}
    methods = {row.configuration.method.name for row in rows}
    print(f"{len(rows)} steps, {len(methods)} methods, {len(models)} models\n")
    print(f"{'':30}{'mean':>8}{'median':>8}{'worst':>8}")
    of_rows = [row.errors() for row in rows]
    for name in QUANTITIES:
        _line(name, (errors[name] for errors in of_rows))
    _line(f"peak by {ALONE}", map(_alone, rows))
    print("\npeak_bytes by method")
    of_method = defaultdict(list)
    for row, errors in zip(rows, of_rows, strict=True):
        of_method[row.configuration.method.name].append(errors["peak_bytes"])
    for name, found in sorted(of_method.items(), key=lambda item: -max(map(abs, item[1]))):
        _line(name, found)
    return 0


def _alone(row: SimulatedRow) -> float:
    said = row.forecast
    return (said.weights_bytes + said.gradient_bytes + said.state_bytes) / row.peak_bytes - 1


def _line(name: str, errors: Iterable[float]) -> None:
    found = list(errors)
    sizes = [abs(error) for error in found]
    worst = max(found, key=abs)
    print(f"{name:30}{mean(sizes):>8.1%}{median(sizes):>8.1%}{worst:>+8.1%}")


if __name__ == "__main__":
    sys.exit(main())
