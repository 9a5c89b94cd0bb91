"""Our own Parquet of runs: exported here or by another service, with ids, scores and curves."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from metadata.errors import InvalidRequest
from metadata.importers.files import Place
from metadata.importers.spec import Given, ImporterSpec, Item, Refused
from metadata.runs_file import is_ours, stream_runs


def claims(place: Place) -> bool:
    """Say whether a Parquet file says that it holds our runs."""
    if place.is_folder or place.path.suffix.lower() != ".parquet":
        return False
    try:
        return is_ours(pq.read_schema(place.path))
    except (pa.ArrowException, OSError, ValueError):
        return False


def read(place: Place, given: Given) -> Iterator[Item]:
    """Yield the runs of a file as they are."""
    del given
    try:
        yield from stream_runs(place.path)
    except InvalidRequest as error:
        yield Refused(label=place.label, reason=str(error))


SPEC = ImporterSpec(name="peftwise", title="our own Parquet of runs", claims=claims, read=read)
