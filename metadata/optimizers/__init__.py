"""The tables of optimizers and of schedules: one entry each, in the file of its family."""

from collections.abc import Mapping

from metadata.optimizers import (
    adaptive,
    derivative_free,
    low_rank,
    orthogonalising,
    parameter_free,
    schedules,
)
from metadata.optimizers.spec import OptimizerSpec, ScheduleSpec

OPTIMIZERS: Mapping[str, OptimizerSpec] = {
    spec.name: spec
    for family in (adaptive, parameter_free, low_rank, orthogonalising, derivative_free)
    for spec in family.ENTRIES
}
SCHEDULES: Mapping[str, ScheduleSpec] = {spec.name: spec for spec in schedules.ENTRIES}
