"""Configurations as columns, so that thousands are costed at once by the formulas of one.

Axes: N configurations. Columns are made once, and kept for any model, data and device.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, cast, get_type_hints

import numpy as np

from metadata.arrays import Booleans, Floats, Integers
from metadata.counts import Counts, Group, counts_of, group_of
from metadata.elementwise import where, where_each
from metadata.footprint import Plan, planned
from metadata.methods import METHODS
from metadata.methods.spec import Count, MethodSpec
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import Values
from metadata.records import Configuration, ModelProfile, TargetModules, Task
from metadata.terms import CHOICES, NUMBERS, OF_CHOICES, OF_VALUES, Terms, terms_of_values

Column = Floats | Booleans
TYPES = {field.name: field.type for field in (*fields(Terms), *fields(MethodSpec))}
NAMES = attrgetter("method.name", "target_modules", "optimizer.name")
OF_METHODS = (  # what formulas read of a method's entry
    "checkpoints",
    "factor_products",
    "frozen_in_model_precision",
    "in_model_precision",
    "operations",
    "rebuilds_embeddings",
    "runs_virtual_tokens",
    "state_copies",
    "trains_base",
    "uses_target_modules",
    "weight_passes",
)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """N configurations in groups that one method's functions count; each group is a slice.

    `terms` hold columns in the order of the groups; `order_N` are the configurations' own numbers.
    """

    terms: Terms
    groups: tuple[Group, ...]
    slices: tuple[slice, ...]
    order_N: Integers

    def __len__(self) -> int:
        """Return how many configurations there are."""
        return len(self.order_N)


@dataclass(frozen=True, kw_only=True)
class Plans:
    """The fields of `Plan` for N configurations, in their order."""

    micro_batch_size: Integers
    accumulation_steps: Integers
    steps: Integers
    length_tokens: Integers
    tokens: Integers
    weights_bytes: Integers
    peak_bytes: Integers
    train_seconds: Floats
    trainable_parameters: Integers
    fits: Booleans

    def __len__(self) -> int:
        """Return how many plans there are."""
        return len(self.fits)

    def __getitem__(self, number: int) -> Plan:
        """Return one configuration's plan."""
        return Plan(**{name: column[number].item() for name, column in vars(self).items()})


def make_columns(configurations: Sequence[Configuration]) -> Columns:
    """Return configurations as columns."""
    values = [one.method.values for one in configurations]
    members: dict[object, list[int]] = {}
    for number, (one, its_values) in enumerate(zip(configurations, values, strict=True)):
        members.setdefault((_counted_by(*NAMES(one)), frozenset(its_values)), []).append(number)
    groups = tuple(
        group_of(configurations[numbers[0]], _values([values[number] for number in numbers]))
        for numbers in members.values()
    )
    ends = np.cumsum([len(numbers) for numbers in members.values()], dtype=np.int64).tolist()
    slices = tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))
    order = [number for numbers in members.values() for number in numbers]
    return Columns(
        terms=_terms([configurations[number] for number in order], groups, slices),
        groups=groups,
        slices=slices,
        order_N=np.array(order, dtype=np.int64),
    )


@lru_cache(maxsize=4096)
def _counted_by(method: str, modules: TargetModules, optimizer: str) -> tuple[str, str, Count]:
    """Return what decides the functions that count a configuration, and on which linears."""
    spec = METHODS[method]
    count = OPTIMIZERS[optimizer].trainable or spec.trainable
    return method, modules if spec.uses_target_modules else "", count


def _values(every: Sequence[Values]) -> Values:
    """Return values as columns: numbers in float64, others as they are."""
    columns = {}
    for name in every[0]:
        column = [values[name] for values in every]
        are_numbers = {type(value) for value in column} <= {int, float}
        columns[name] = np.array(column, dtype=np.float64 if are_numbers else None)
    return cast("Values", columns)


def _terms(
    ordered: Sequence[Configuration], groups: Sequence[Group], slices: Sequence[slice]
) -> Terms:
    of_values = [terms_of_values(group.spec, group.values) for group in groups]
    spread: dict[str, Any] = _spread(of_values, slices, OF_VALUES)
    of_choices: dict[str, Any] = _of_choices(ordered)
    numbers: dict[str, Any] = {
        name: np.array([getattr(one, name) for one in ordered], dtype=np.float64)
        for name in NUMBERS
    }
    return Terms(method=_methods(groups, slices), **spread, **of_choices, **numbers)


def _of_choices(ordered: Sequence[Configuration]) -> dict[str, Column]:
    """Return terms of choices, read once of those that are alike."""
    choices = [CHOICES(one) for one in ordered]
    alike = dict(zip(choices, ordered, strict=True))
    codes = {choice: code for code, choice in enumerate(alike)}
    codes_N = np.array([codes[choice] for choice in choices], dtype=np.int64)
    return {
        name: _column(name, [term(one) for one in alike.values()])[codes_N]
        for name, term in OF_CHOICES.items()
    }


def _column(name: str, values: Sequence[object]) -> Column:
    column: Any = np.array(values, dtype=np.bool_ if TYPES[name] is bool else np.float64)
    return cast("Column", column)


def _methods(groups: Sequence[Group], slices: Sequence[slice]) -> MethodSpec:
    """Return an entry of the table whose attributes are columns."""
    sizes = [rows.stop - rows.start for rows in slices]
    columns = {
        name: np.repeat(_column(name, [getattr(group.spec, name) for group in groups]), sizes)
        for name in OF_METHODS
    }
    return cast("MethodSpec", SimpleNamespace(**columns))


def _spread(
    parts: Sequence[Mapping[str, Any]], slices: Sequence[slice], names: Iterable[str]
) -> dict[str, Floats]:
    """Return columns of what each group has, a number or a column of its own."""
    count = slices[-1].stop if slices else 0
    columns = {name: np.empty(count) for name in names}
    for part, rows in zip(parts, slices, strict=True):
        for name, column in columns.items():
            column[rows] = part[name]
    return columns


def count(columns: Columns, model: ModelProfile) -> Counts:
    """Return what the methods add to a model, as columns in the order of the groups."""
    names = [field.name for field in fields(Counts)]
    parts = [vars(counts_of(group, model)) for group in columns.groups]
    spread: dict[str, Any] = _spread(parts, columns.slices, names)
    return Counts(**spread)


def plans(columns: Columns, task: Task, *, memory_bytes: int | None = None) -> Plans:
    """Return the plan of every configuration, as `metadata.footprint.plan` does of one.

    Args:
        columns: Configurations that pass `metadata.space.check` on the task's model.
        task: What they are to run on.
        memory_bytes: What one device may use, its own memory less a reserve where not given.
    """
    counts = count(columns, task.model)
    return _plans(planned(columns.terms, counts, task, memory_bytes=memory_bytes), columns)


def fastest_plans(
    columns: Columns,
    task: Task,
    *,
    memory_bytes: int | None = None,
    counts: Counts | None = None,
) -> tuple[Booleans, Plans]:
    """Return plans that fit in the least time, and which of them run layers again to do so.

    Whether layers are run again in the backward pass changes no result, so that what the
    configurations say of it is open. Where nothing fits it is what takes the least memory.

    Args:
        columns: Configurations that pass `metadata.space.check` on the task's model.
        task: What they are to run on.
        memory_bytes: What one device may use, its own memory less a reserve where not given.
        counts: What `count` says of them on the task's model, where it is known already.

    Returns:
        What `gradient_checkpointing` is to be, and the plan with it, of every configuration.
    """
    counts, terms = counts or count(columns, task.model), columns.terms
    can_N = terms.method.checkpoints & (terms.forward_passes == 0)
    plain, again = (
        planned(
            replace(terms, gradient_checkpointing=cast("bool", checkpoints_N)),
            counts,
            task,
            memory_bytes=memory_bytes,
        )
        for checkpoints_N in (np.zeros_like(can_N), can_N)
    )
    is_faster_N = where(plain.fits, again.train_seconds < plain.train_seconds, again.fits)
    is_smaller_N = again.peak_bytes < plain.peak_bytes
    is_better_N = where(plain.fits | again.fits, is_faster_N & again.fits, is_smaller_N)
    return (
        _in_order(is_better_N, columns, np.bool_),
        _plans(where_each(is_better_N, again, plain), columns),
    )


def _plans(found: Plan, columns: Columns) -> Plans:
    kinds = get_type_hints(Plan)
    return Plans(
        **{name: _in_order(column, columns, kinds[name]) for name, column in vars(found).items()}
    )


def _in_order(column: object, columns: Columns, kind: type) -> Any:
    """Return a column in the order of the configurations."""
    ordered: Any = np.empty(len(columns), dtype=kind)
    ordered[columns.order_N] = column
    return ordered
