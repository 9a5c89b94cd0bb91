"""Find the runs in a file, a folder, an archive or at an address, whoever wrote them."""

import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from metadata.errors import InvalidRequest
from metadata.importers import IMPORTERS
from metadata.importers.archives import is_zip, unpack
from metadata.importers.assemble import run_of
from metadata.importers.files import Place, file_at, walk
from metadata.importers.names import check_names
from metadata.importers.report import Intake
from metadata.importers.spec import Given, ImporterSpec, Item, Refused
from metadata.records import Run
from metadata.run_rows import columns

ADDRESSES = ("http://", "https://")
PART_OF_A_RUN = re.compile(r"checkpoint-\d+|config")


def runs_at(
    path: Path,
    *,
    given: Given,
    intake: Intake,
    now: datetime,
    importer: str | None = None,
    scratch: Path | None = None,
) -> Iterator[Run]:
    """Yield the runs of a file, a folder or a zip of one; what happens to each is counted.

    Args:
        path: What to read; nothing outside it is opened.
        given: What the caller says beyond the source.
        intake: Takes the report.
        now: Stands for the time of runs whose source has none.
        importer: The only importer to use.
        scratch: Where an archive is unpacked, the system's folder of temporary files if None.

    Raises:
        InvalidRequest: There is nothing there, or no such importer.
    """
    check_names(given.names)
    specs = _specs(importer)
    if path.is_dir():
        yield from _runs_in(path, specs, given, intake, now)
    elif not path.is_file():
        raise InvalidRequest(f"There is no file or folder {path.name[:100]!r}. Check the path.")
    elif is_zip(path):
        with tempfile.TemporaryDirectory(prefix="peftwise-import-", dir=scratch) as folder:
            inner = Path(folder) / (re.sub(r"[^\w.-]", "_", path.stem).strip(".") or "archive")
            inner.mkdir()
            for refused in unpack(path, inner):
                intake.refuse(refused)
            yield from _runs_in(inner, specs, given, intake, now)
    else:
        yield from _runs_of_file(path, specs, given, intake, now, is_asked=importer is not None)


def runs_at_address(
    address: str, *, given: Given, intake: Intake, now: datetime, importer: str | None = None
) -> Iterator[Run]:
    """Yield the runs of a tracking server; arguments as of `runs_at`.

    Raises:
        InvalidRequest: No importer reads addresses of that kind.
        Unavailable: The server does not answer.
    """
    for spec in _specs(importer):
        if spec.read_address is not None:
            yield from _runs(spec, spec.read_address(address, given), given, intake, now, "server")
            return
    raise InvalidRequest(f"The importer {importer} reads files, got an address. Name a file.")


def _specs(importer: str | None) -> list[ImporterSpec]:
    if importer is None:
        return list(IMPORTERS.values())
    if importer not in IMPORTERS:
        raise InvalidRequest(
            f"The format is one of {', '.join(IMPORTERS)}, got {importer[:60]!r}. "
            "Leave it out to have it found.",
            param="format",
        )
    return [IMPORTERS[importer]]


def _runs_of_file(
    path: Path,
    specs: list[ImporterSpec],
    given: Given,
    intake: Intake,
    now: datetime,
    *,
    is_asked: bool,
) -> Iterator[Run]:
    place = file_at(path)
    spec = specs[0] if is_asked else next((one for one in specs if one.claims(place)), None)
    if spec is None:
        raise InvalidRequest(
            f"{place.label[:100]} is of no kind that is known: {_kinds()}. "
            "Name the folder that it is from, or say --format."
        )
    yield from _runs(spec, spec.read(place, given), given, intake, now, path.stem)


def _kinds() -> str:
    return "; ".join(spec.title for spec in IMPORTERS.values())


def _runs_in(
    root: Path, specs: list[ImporterSpec], given: Given, intake: Intake, now: datetime
) -> Iterator[Run]:
    runs_above: set[Path] = set()
    for place in walk(root):
        if place.path.parent in runs_above and PART_OF_A_RUN.fullmatch(place.path.name):
            continue  # checkpoints and settings of the run above
        for spec, part in _claimed(place, specs):
            if spec is None:
                intake.leave(part.label)
                continue
            if part.is_folder:
                runs_above.add(part.path)
            name = part.label if part.is_folder else part.path.stem
            yield from _runs(spec, spec.read(part, given), given, intake, now, name)


def _claimed(
    place: Place, specs: list[ImporterSpec]
) -> Iterator[tuple[ImporterSpec | None, Place]]:
    """Yield who reads a folder as a whole, else who reads each of its files."""
    whole = next((spec for spec in specs if spec.claims(place)), None)
    if whole is not None:
        yield whole, place
        return
    for name, path in place.files.items():
        file = Place(path=path, root=place.root, files={name: path})
        yield next((spec for spec in specs if spec.claims(file)), None), file


def _runs(
    spec: ImporterSpec,
    items: Iterator[Item],
    given: Given,
    intake: Intake,
    now: datetime,
    place: str,
) -> Iterator[Run]:
    for item in items:
        if isinstance(item, Refused):
            intake.refuse(item)
            continue
        label = item.id if isinstance(item, Run) else item.label
        try:
            run, notes = (item, []) if isinstance(item, Run) else run_of(
                item, importer=spec.name, given=given, place=_name(place), now=now
            )  # fmt: skip
            columns(run)  # what no database holds is refused here, not with all its batch
        except InvalidRequest as error:
            intake.refuse(Refused(label=label, reason=str(error)))
            continue
        intake.take(spec.name, label, notes)
        yield run


def _name(place: str) -> str:
    return place.encode(errors="replace").decode().strip()[:100] or "unknown"
