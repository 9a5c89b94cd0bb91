"""What the worker alone needs of a table's entry: the thing that its dotted name stands for."""

from importlib import import_module
from typing import Any


def resolve(dotted: str) -> Any:
    """Return the class or function that a dotted name of a table stands for."""
    module, _, name = dotted.rpartition(".")
    return getattr(import_module(module), name)
