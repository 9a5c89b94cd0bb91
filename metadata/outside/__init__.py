"""Tabulated benchmarks of other makes, played through the same engine."""

from metadata.outside.rules import OUTSIDE_RULES
from metadata.outside.table import read_table

__all__ = ["OUTSIDE_RULES", "read_table"]
