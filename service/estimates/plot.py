"""The picture of an estimate as a file: SVG alone, or a page with the advice."""

from html import escape
from pathlib import Path

from metadata.errors import InvalidRequest, PeftwiseError
from service.estimates.picture import memory_picture
from service.estimates.schemas import EstimateAnswer

SUFFIXES = (".svg", ".html")
_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; }
"""


def check_plot(path: Path | None) -> None:
    """Let a path pass if a plot can be written to it.

    Raises:
        InvalidRequest: Its name ends in neither of the two.
    """
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise InvalidRequest(
            f"--plot writes {' or '.join(SUFFIXES)}, got {path.name!r}. Name the file so."
        )


def write_plot(path: Path, answer: EstimateAnswer, *, title: str, style: str) -> None:
    """Write the picture of an estimate.

    Raises:
        PeftwiseError: The file cannot be written.
    """
    picture = memory_picture(answer.phases, limit_bytes=answer.memory_bytes, style=style)
    is_page = path.suffix.lower() == ".html"
    try:
        path.write_text(_page(picture, answer, title) if is_page else picture, encoding="utf-8")
    except OSError as error:
        raise PeftwiseError(
            f"--plot cannot write {path.name}: {error.strerror}. Name a folder that is there."
        ) from None


def _page(picture: str, answer: EstimateAnswer, title: str) -> str:
    lines = "\n".join(f"<li>{escape(line)}</li>" for line in (*answer.advice, *answer.notes))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_PAGE_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{picture}\n<ul>\n{lines}\n</ul>\n</body>\n</html>\n"
    )
