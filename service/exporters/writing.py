"""How files are written: what stands at their head, YAML, and calls in Python."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import yaml

from service.exporters.source import Source
from service.exporters.spec import Exporter

WIDTH = 96


def origin(source: Source) -> str:
    """Say in one line where a file comes from."""
    return (
        f"Recommendation {source.recommendation_id}, rank {source.rank}, of Peftwise, for the base "
        f"model {source.model.id}; knowledge {source.knowledge_version}, "
        f"{source.created_at.date().isoformat()}."
    )


def head(source: Source, exporter: Exporter) -> list[str]:
    """Return what a file says of itself: where it comes from, and what it cannot say in keys."""
    return [origin(source), *exporter.notes(source)]


def comment(lines: Sequence[str]) -> str:
    """Return lines as comments of Python or YAML; what would end a comment is taken out."""
    clean = (" ".join(line.split()) for line in lines)
    return "".join(f"# {part}\n" for line in clean for part in wrap(line, WIDTH))


def yaml_file(keys: Mapping[str, Any], lines: Sequence[str]) -> str:
    """Return keys as YAML under a comment."""
    text = yaml.safe_dump(dict(keys), sort_keys=False, allow_unicode=True, width=WIDTH)
    return f"{comment(lines)}\n{text}"


def call(name: str, arguments: Mapping[str, Any], *, indent: int = 0) -> str:
    """Return a call in Python, an argument a line; values that are `Code` stand as they are."""
    space = " " * indent
    lines = "".join(f"{space}    {key}={value!r},\n" for key, value in arguments.items())
    return f"{name}(\n{lines}{space})"


class Code(str):
    """A piece of Python that is not quoted."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the piece itself."""
        return str(self)
