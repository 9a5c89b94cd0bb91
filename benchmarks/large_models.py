"""Whose order holds on large models: that of own runs, of published results, or of rules?

    python benchmarks/large_models.py --data FOLDER [--knowledge FOLDER]

FOLDER holds the published tables, read by the importers. Inside each table, on one model and data
at a time, configurations are ordered by own runs (the mean over past tasks), by what the *other*
sources published, by both as an answer far from own runs weighs them (that source left out of the
weight too), and by the same where the source's other models are known. Beside them: the mean
regret of the same configuration on the table's other models and data, and the width rule. Printed
are the means over models and data of Kendall's tau and of the regret of the first pick, 0 for the
best of the table and 1 for its median.

For the learning-rate sweep it prints the mean excess of test loss, in nats per token, at the usual
rate as the other models give it, at the best constant rate of the other models and at the width
rule's, each piecewise linear in the logarithm of the rate.
"""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite, log, log2
from pathlib import Path
from statistics import fmean, median

import numpy as np
from published_rates import MODELS
from scipy.stats import kendalltau

from metadata.arrays import Floats
from metadata.contests import Entry, contests
from metadata.importers.reading import runs_at
from metadata.importers.report import Intake
from metadata.importers.spec import NOTHING_GIVEN
from metadata.knowledge import SHIPPED_KNOWLEDGE, Knowledge
from metadata.methods import METHODS
from metadata.players import nearest_configuration
from metadata.priors import PUBLISHED_RATE, width_rule_rate
from metadata.published import Figure, read_figures
from metadata.records import ModelProfile, Run
from metadata.regret import WORST_REGRET
from metadata.relative import REFERENCE, relative_key
from metadata.space import width_rule_configuration
from metadata.surrogates.far import describe_entries, weigh_published
from metadata.surrogates.prior import fit_prior
from metadata.surrogates.spec import Described, gather
from metadata.surrogates.transfer import Quality

SOURCES = {
    "peft_method_comparison/MetaMathQA": "huggingface/peft",
    "tinker_sft_sweep": "thinking-machines-lab/tinker-cookbook",
    "glue_arch_peft": "silversuncn/arch-peft-comparison",
    "glue_lora_rank_scaling": "silversuncn/lora-rank-scaling",
    "indic_peft": "venkatkollu/indic-peft-comparison",
}
SMALLEST_TOLD = 1_000_000_000  # weights of models whose table tells whole configurations
FEWEST = 3  # configurations on a model and data, below which there is no order


@dataclass(frozen=True, kw_only=True)
class Field:
    """Configurations that a table compares on one model and data; C of them, their repeats as one.

    `regret_C` is 0 for the best and 1 for the median.
    """

    model: ModelProfile
    runs: tuple[Run, ...]
    keys: tuple[str, ...]
    regret_C: Floats

    @property
    def described(self) -> Described:
        """Return the configurations; where a table tells a part of them, the rest as is usual."""
        if self.model.parameters >= SMALLEST_TOLD:
            return gather(self.runs[0].task, [run.configuration for run in self.runs])
        return describe_entries(tuple(_entry(run) for run in self.runs))


def _entry(run: Run) -> Entry:
    """Return what a table tells of a run: method, rank, and rate as a multiple of the usual."""
    rate, rank = run.configuration.optimizer.learning_rate, run.configuration.method.values.get("r")
    usual = PUBLISHED_RATE * METHODS[run.configuration.method.name].rate_factor
    return Entry(
        method=run.configuration.method.name,
        rank=rank if isinstance(rank, int) else None,
        log2_rate_ratio=log2(rate / usual) if rate else 0.0,
    )


Order = Callable[[Field], Sequence[float] | Floats]


def main() -> int:
    """Print a table for each source, and one of rates."""
    options = _parse()
    known = Knowledge.load(options.knowledge)
    print(f"{'':34}{'Kendall tau':>12}{'first pick':>12}")
    for folder, source in SOURCES.items():
        fields = list(_fields(options.data / folder))
        print(f"{source}: {len(fields)} models and data")
        for name, order in _orders(known.quality, source, fields).items():
            taus = [_tau(order(one), one.regret_C) for one in fields]
            firsts = [float(one.regret_C[int(np.argmin(order(one)))]) for one in fields]
            print(f"  {name:32}{fmean(taus):>12.2f}{fmean(firsts):>12.2f}")
    _print_rates(options.data / "tinker_sft_sweep" / "sft_sweep.csv")
    return 0


def _fields(folder: Path) -> Iterable[Field]:
    found: dict[tuple[str, str, int], list[Run]] = defaultdict(list)
    now = datetime.now(UTC)
    for run in runs_at(folder, given=NOTHING_GIVEN, intake=Intake(), now=now):
        if run.configuration.method.name in METHODS and isfinite(_result(run)):
            data = run.task.dataset
            found[run.task.model.id, data.group, data.examples].append(run)
    for runs in found.values():
        field = _field(runs)
        if len(field.keys) >= FEWEST and field.regret_C.max() > 0:
            yield field


def _field(runs: Sequence[Run]) -> Field:
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        alike[relative_key(run.configuration, run.task.model)].append(run)
    result_C = np.array([fmean(map(_result, repeats)) for repeats in alike.values()])
    spread = result_C.max() - np.median(result_C)
    lost_C = (result_C.max() - result_C) / spread if spread > 0 else np.zeros(len(result_C))
    return Field(
        model=runs[0].task.model,
        runs=tuple(repeats[0] for repeats in alike.values()),
        keys=tuple(alike),
        regret_C=np.minimum(lost_C, WORST_REGRET),
    )


def _result(run: Run) -> float:
    """Return what a run reached on test data, higher is better: accuracy, else minus its loss."""
    last = {one.name: one.value for one in run.curve if one.split == "test"}
    return last.get("accuracy", -last.get("nll", float("nan")))


def _orders(quality: Quality, source: str, fields: Sequence[Field]) -> Mapping[str, Order]:
    figures = read_figures()
    others = contests([one for one in figures if one.source != source])
    far = weigh_published(quality.on_average, others)

    def both(field: Field, prior_C: Floats) -> Floats:
        own_C = quality.on_average(field.described)
        blend_C: Floats = far.own * own_C + (1.0 - far.own) * prior_C
        return blend_C

    def with_own_source(field: Field) -> Floats:
        prior = fit_prior(contests(_without(figures, source, field.model.id)))
        return both(field, prior.regret(field.described.reference_CF))

    def best_average(field: Field) -> list[float]:
        told: dict[str, list[float]] = defaultdict(list)
        for other in fields:
            if other is not field:
                for key, regret in zip(other.keys, other.regret_C.tolist(), strict=True):
                    told[key].append(regret)
        return [fmean(told[key]) if key in told else 1.0 for key in field.keys]

    def width_rule(field: Field) -> Floats:
        wanted = width_rule_configuration(field.runs[0].task)
        first = nearest_configuration(wanted, [run.configuration for run in field.runs])
        others_C: Floats = (np.arange(len(field.runs)) != first).astype(np.float64)
        return others_C

    return {
        "own runs": lambda field: quality.on_average(field.described),
        "other sources": lambda field: far.regret(field.described.reference_CF),
        f"both ({far.own:.0%} own runs)": lambda field: both(
            field, far.regret(field.described.reference_CF)
        ),
        "both, other models of it known": with_own_source,
        "best average": best_average,
        "width rule": width_rule,
    }


def _without(figures: Sequence[Figure], source: str, model: str) -> list[Figure]:
    return [one for one in figures if one.source != source or one.model != model]


def _tau(forecast_C: Sequence[float] | Floats, regret_C: Floats) -> float:
    found = float(kendalltau(forecast_C, regret_C).statistic)
    return found if isfinite(found) else 0.0


def _print_rates(file: Path) -> None:
    curves = _curves(file)
    best = {
        model: [one.value for one in read_figures() if _is_best(one, model)] for model in curves
    }
    lost: dict[str, list[float]] = defaultdict(list)
    for model, of_model in curves.items():
        others = [curve for name, some in curves.items() if name != model for curve in some]
        rates = sorted({rate for curve in others for rate in curve})
        chosen = {
            "usual rate of the others": median(
                rate for name, some in best.items() if name != model for rate in some
            ),
            "best constant of the others": min(rates, key=lambda rate: _excess(others, rate)),
            "width rule": _rule(model),
        }
        for name, rate in chosen.items():
            if rate is not None:
                lost[name].append(_excess(of_model, rate))
    print(f"\n{'excess test loss on the sweep':34}{'nats':>12}{'models':>12}")
    for name, values in lost.items():
        print(f"  {name:32}{fmean(values):>12.4f}{len(values):>12}")


def _is_best(figure: Figure, model: str) -> bool:
    return figure.figure == "best_rate" and figure.model == model


def _curves(file: Path) -> dict[str, list[dict[float, float]]]:
    """Return test loss by rate for each rank of each model, three rates at least."""
    found: dict[str, dict[str, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["test_nll"] and "," not in row["lora_rank"]:
                curve = found[row["model"]][row["lora_rank"]]
                curve[float(row["learning_rate"])] = float(row["test_nll"])
    return {
        model: kept
        for model, by_rank in found.items()
        if (kept := [curve for curve in by_rank.values() if len(curve) >= FEWEST])
    }


def _excess(curves: Sequence[Mapping[float, float]], rate: float) -> float:
    losses = []
    for curve in curves:
        rates = sorted(curve)
        loss = np.interp(log(rate), [log(one) for one in rates], [curve[one] for one in rates])
        losses.append(float(loss) - min(curve.values()))
    return fmean(losses)


def _rule(model: str) -> float | None:
    family, parameters, width = MODELS.get(model, ("", 0.0, None))
    if width is None:
        return None
    reference = REFERENCE.model.model_copy(
        update={"family": family, "parameters": int(parameters), "hidden_size": width}
    )
    return width_rule_rate(reference)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--knowledge", type=Path, default=SHIPPED_KNOWLEDGE)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
