"""Write one rank of a recommendation in one format, or say which formats can carry it."""

from dataclasses import dataclass

from metadata.errors import InvalidRequest
from service.exporters import EXPORTERS
from service.exporters.source import Source
from service.exporters.writing import head


@dataclass(frozen=True, kw_only=True)
class Written:
    """A file, and the lines that say where it comes from, for formats without comments."""

    file_name: str
    media_type: str
    text: str
    lines: tuple[str, ...]


def export(source: Source, name: str) -> Written:
    """Return a rank of a recommendation as the file of a format.

    Raises:
        InvalidRequest: There is no such format, or it has no way to say a part of the
            configuration; the message says which formats have. `param` is `format`.
    """
    if name not in EXPORTERS:
        raise InvalidRequest(
            f"format must be one of {', '.join(EXPORTERS)}, got {name[:60]!r}. Choose one of them.",
            param="format",
        )
    exporter = EXPORTERS[name]
    missing = exporter.lacks(source)
    if missing:
        raise InvalidRequest(
            f"format {name} must carry the whole configuration, and {exporter.title} has no way to "
            f"say {_listed(missing)}. {_others(source)}",
            param="format",
        )
    lines = head(source, exporter)
    return Written(
        file_name=exporter.file_name,
        media_type=exporter.media_type,
        text=exporter.write(source, lines),
        lines=tuple(lines),
    )


def formats_for(source: Source) -> list[str]:
    """Return the formats that carry a configuration."""
    return [name for name, exporter in EXPORTERS.items() if not exporter.lacks(source)]


def _others(source: Source) -> str:
    return f"Formats that can: {', '.join(formats_for(source))}. Choose one, or another rank."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
