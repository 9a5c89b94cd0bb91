"""The tables of optimizers and of schedules: one entry each, in the file of its family."""

from collections.abc import Mapping

from metadata.optimizers import adaptive, schedules
from metadata.optimizers.spec import OptimizerSpec, ScheduleSpec

OPTIMIZERS: Mapping[str, OptimizerSpec] = {spec.name: spec for spec in adaptive.ENTRIES}
SCHEDULES: Mapping[str, ScheduleSpec] = {spec.name: spec for spec in schedules.ENTRIES}
