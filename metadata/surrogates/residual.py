"""What a formula of costs misses, learnt from past runs: a ridge on log(true / formula).

Three layers, each shrunk to nothing where there are few runs: the kind of device, the device by
name, then method and sizes. Far from all runs the formula stays as it is.

Axes: M runs or candidates, S sizes, D columns of the design.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.device_constants import learnt_offset
from metadata.errors import TooFewRuns
from metadata.features.device import MEASURED
from metadata.footprint import Plan, plan
from metadata.records import Configuration, Costs, Device, Task
from metadata.surrogates.intervals import tails_of_groups
from metadata.surrogates.spec import Candidates, Prediction, State, SurrogateSpec, Target
from metadata.table import Table

MINIMUM_RUNS = 10
# Runs that weigh as much as a coefficient of 0; which, datasets left out say. Runs of one dataset
# share what the formula does not know of it, so that many runs may be few lessons.
RIDGES = (5000.0, 500.0, 50.0, 5.0)
FOLDS = 5
# A formula is corrected for models up to this many times larger or smaller than those it was held
# against; past that it stands alone, with intervals as wide as for an unknown device.
FAMILIAR_FACTOR = 10.0


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A cost: where it stands in a plan and in what a run reports.

    Attributes:
        unknown_factor: Each end of an interval is that many times further off for a kind of
            device never seen; its square root for a device of a known kind.
        least: What no plan can cost less than.
    """

    name: str
    title: str
    predicts: Target
    formula: Callable[[Plan], float]
    true: Callable[[Costs, Device], float]
    unknown_factor: float
    least: Callable[[Plan], float] = lambda planned: 0.0


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Runs as the residual sees them; `log_ratio_M` of true / formula is NaN for candidates."""

    methods: tuple[str, ...]
    kinds: tuple[str, ...]
    devices: tuple[str, ...]
    groups: tuple[str, ...]
    log_sizes_MS: Floats
    log_parameters_M: Floats
    formula_M: Floats
    least_M: Floats
    log_ratio_M: Floats

    def take(self, rows: Integers) -> "Observations":
        """Return some of them."""
        values: dict[str, Any] = {
            name: tuple(value[row] for row in rows) if isinstance(value, tuple) else value[rows]
            for name, value in vars(self).items()
        }
        return Observations(**values)


@dataclass(frozen=True, kw_only=True)
class CostSurrogate:
    """A formula and its fitted residual; `values` is all that was learnt, as JSON."""

    quantity: Quantity
    values: Mapping[str, Any]

    def forecast(self, candidates: Candidates) -> Prediction:
        """Forecast the cost of each candidate as planned."""
        tasks = [candidates.task] * len(candidates.plans)
        seen = observe(candidates.configurations, tasks, candidates.plans, self.quantity)
        return self.predict(seen)

    def predict(self, seen: Observations) -> Prediction:
        """Forecast the cost of each observation."""
        expected_M = seen.formula_M * np.exp(correction(self.values, seen))
        expected_M = np.maximum(expected_M, seen.least_M)
        low, high = self.values["tails"]
        widen_M = self._widen(seen)
        return Prediction(
            expected_C=expected_M,
            low_C=np.maximum(expected_M * np.exp(min(low, 0.0)) / widen_M, seen.least_M),
            high_C=expected_M * np.exp(max(high, 0.0)) * widen_M,
        )

    def state(self) -> State:
        """Return what was learnt."""
        return State(values=dict(self.values))

    def _widen(self, seen: Observations) -> Floats:
        device_M = np.array([name in self.values["devices"] for name in seen.devices])
        kind_M = np.array([name in self.values["kinds"] for name in seen.kinds])
        power_M = np.where(device_M, 0.0, np.where(kind_M, 0.5, 1.0))
        power_M = np.where(_familiar(self.values, seen), power_M, 1.0)
        widen_M: Floats = self.quantity.unknown_factor**power_M
        return widen_M


def cost_spec(quantity: Quantity) -> SurrogateSpec:
    """Return the table entry of a cost."""

    def fit(table: Table, seed: int) -> CostSurrogate:
        del seed  # there is nothing random in it
        return fit_residual(observations_of(table, quantity), quantity)

    def restore(state: State) -> CostSurrogate:
        return CostSurrogate(quantity=quantity, values=state.values)

    return SurrogateSpec(
        name=quantity.name,
        title=quantity.title,
        predicts=quantity.predicts,
        fit=fit,
        restore=restore,
    )


def observations_of(table: Table, quantity: Quantity) -> Observations:
    """Return the runs that finished and report a cost."""
    known = [
        (run, quantity.true(run.costs, run.task.device))
        for run in table.runs
        if run.state == "succeeded" and run.costs is not None
    ]
    known = [(run, true) for run, true in known if true > 0]
    runs = [run for run, _ in known]
    return observe(
        [run.configuration for run in runs],
        [run.task for run in runs],
        [plan(run.configuration, run.task) for run in runs],
        quantity,
        [true for _, true in known],
    )


def observe(
    configurations: Sequence[Configuration],
    tasks: Sequence[Task],
    plans: Sequence[Plan],
    quantity: Quantity,
    true: Sequence[float] | None = None,
) -> Observations:
    """Return runs as the residual sees them; candidates where the true cost is not given."""
    formula_M = np.array([float(quantity.formula(one)) for one in plans])
    sizes_MS = np.array(
        [(one.tokens, one.steps, one.trainable_parameters, one.peak_bytes) for one in plans]
    ).reshape(len(plans), 4)
    parameters_M = np.array([task.model.parameters for task in tasks], dtype=np.float64)
    ratio_M = np.full(len(plans), np.nan) if true is None else np.log(np.array(true) / formula_M)
    return Observations(
        methods=tuple(one.method.name for one in configurations),
        kinds=tuple(task.device.kind for task in tasks),
        devices=tuple(task.device.name for task in tasks),
        groups=tuple(task.dataset.group for task in tasks),
        log_sizes_MS=np.log(np.maximum(sizes_MS, 1)),
        log_parameters_M=np.log(parameters_M),
        formula_M=formula_M,
        least_M=np.array([float(quantity.least(one)) for one in plans]),
        log_ratio_M=ratio_M,
    )


def fit_residual(known: Observations, quantity: Quantity) -> CostSurrogate:
    """Fit what the formula misses, with intervals by what is missed on datasets left out.

    Raises:
        TooFewRuns: Fewer than ten runs report the cost.
    """
    if len(known.formula_M) < MINIMUM_RUNS:
        raise TooFewRuns(
            f"Learning {quantity.title} needs at least {MINIMUM_RUNS} finished runs that report "
            f"it, got {len(known.formula_M)}. Run or import more."
        )
    errors = {ridge: _held_out_errors(known, ridge) for ridge in RIDGES}
    best = min(RIDGES, key=lambda ridge: float(np.abs(errors[ridge]).mean()))
    ends = tails_of_groups(errors[best], known.groups)
    values = {**_fit(known, best), "tails": list(ends)}
    return CostSurrogate(quantity=quantity, values=values)


def _held_out_errors(known: Observations, ridge: float) -> Floats:
    place = {group: index for index, group in enumerate(sorted(set(known.groups)))}
    fold_M = np.array([place[group] % FOLDS for group in known.groups])
    error_M = np.empty(len(fold_M))
    for fold in np.unique(fold_M):
        held, rest = np.flatnonzero(fold_M == fold), np.flatnonzero(fold_M != fold)
        values = _fit(known.take(rest if len(rest) else held), ridge)
        part = known.take(held)
        error_M[held] = part.log_ratio_M - correction(values, part)
    return error_M


def _fit(known: Observations, ridge: float) -> dict[str, Any]:
    sheet_M = ~_measured(known)
    sheet_kinds = [kind for kind, is_sheet in zip(known.kinds, sheet_M, strict=True) if is_sheet]
    kinds = dict.fromkeys(known.kinds, 0.0) | _offsets(sheet_kinds, known.log_ratio_M[sheet_M])
    rest_M = known.log_ratio_M - _kind_offsets(kinds, known)
    devices = _offsets(known.devices, rest_M)
    rest_M = rest_M - [devices[name] for name in known.devices]
    sizes_MS, parameters_M = known.log_sizes_MS, known.log_parameters_M
    values: dict[str, Any] = {
        "kinds": kinds,
        "devices": devices,
        "methods": sorted(set(known.methods)),
        "centre": sizes_MS.mean(axis=0).tolist(),
        "scale": np.maximum(sizes_MS.std(axis=0), 1e-6).tolist(),
        "low": sizes_MS.min(axis=0).tolist(),
        "high": sizes_MS.max(axis=0).tolist(),
        "log_parameters": [float(parameters_M.min()), float(parameters_M.max())],
    }
    design_MD = _design(values, known)
    gram_DD = design_MD.T @ design_MD + ridge * np.eye(design_MD.shape[1])
    values["coefficients"] = np.linalg.solve(gram_DD, design_MD.T @ rest_M).tolist()
    return values


def _kind_offsets(kinds: Mapping[str, float], seen: Observations) -> Floats:
    """Return what data sheets of a kind promise too much: nothing for what was measured."""
    offset_M = np.array([kinds.get(kind, 0.0) for kind in seen.kinds])
    return np.where(_measured(seen), 0.0, offset_M)


def _measured(seen: Observations) -> Booleans:
    return np.array([name.endswith(MEASURED) for name in seen.devices], dtype=np.bool_)


def _offsets(names: Sequence[str], ratio_M: Floats) -> dict[str, float]:
    name_M = np.array(names)
    return {name: learnt_offset(ratio_M[name_M == name]) for name in sorted(set(names))}


def _design(values: Mapping[str, Any], seen: Observations) -> Floats:
    """Return methods as 0/1 and sizes standardised; no line runs on beyond the sizes known."""
    clipped_MS = np.clip(seen.log_sizes_MS, values["low"], values["high"])
    scaled_MS = (clipped_MS - np.array(values["centre"])) / np.array(values["scale"])
    method_M = np.array(seen.methods)
    one_hot = [(method_M == name).astype(np.float64) for name in values["methods"]]
    return np.column_stack([*one_hot, scaled_MS])


def correction(values: Mapping[str, Any], seen: Observations) -> Floats:
    """Return the expected logarithm of true / formula; 0 for strange devices and model sizes."""
    offset_M = _kind_offsets(values["kinds"], seen)
    offset_M += [values["devices"].get(name, 0.0) for name in seen.devices]
    kind_M = np.array([name in values["kinds"] for name in seen.kinds])
    learnt_M = offset_M + _design(values, seen) @ np.array(values["coefficients"])
    return np.where(kind_M & _familiar(values, seen), learnt_M, 0.0)


def _familiar(values: Mapping[str, Any], seen: Observations) -> Booleans:
    low, high = values["log_parameters"]
    margin = log(FAMILIAR_FACTOR)
    within_M: Booleans = (seen.log_parameters_M >= low - margin) & (
        seen.log_parameters_M <= high + margin
    )
    return within_M
