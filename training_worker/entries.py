"""What the worker needs of a table's entry: the thing it names, and its values made complete."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, TypeVar

from metadata.errors import InvalidConfiguration
from metadata.parameters import Parameter
from metadata.records import Scalar

Entry = TypeVar("Entry")


def find_entry(table: Mapping[str, Entry], name: str, *, kind: str) -> Entry:
    """Return an entry of a table by its name.

    Raises:
        InvalidConfiguration: The table has no such entry.
    """
    if name not in table:
        raise InvalidConfiguration(
            f"{kind} must be one of {', '.join(table)}; got {name!r}.", param=kind
        )
    return table[name]


def complete(
    parameters: tuple[Parameter, ...], values: Mapping[str, Scalar], *, name: str, kind: str
) -> dict[str, Any]:
    """Return the chosen values with defaults for those left out.

    Raises:
        InvalidConfiguration: A value is given that the entry does not take.
    """
    defaults = {parameter.name: parameter.default for parameter in parameters}
    unknown = sorted(set(values) - set(defaults))
    if unknown:
        raise InvalidConfiguration(
            f"{kind} {name} takes {', '.join(sorted(defaults)) or 'no values'}; got "
            f"{', '.join(unknown)}. Leave them out.",
            param=kind,
        )
    return defaults | dict(values)


def resolve(dotted: str) -> Any:
    """Return the class or function that a dotted name of a table stands for."""
    module, _, name = dotted.rpartition(".")
    return getattr(import_module(module), name)
