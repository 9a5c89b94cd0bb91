"""Tables of runs, a row each: CSV and Parquet, with our names guessed from theirs or mapped.

A table with a column for each size of the training set (headers that are numbers) has a run in
each such cell: its size, and the test loss there. The column 0 is the untrained base's loss.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from metadata.errors import InvalidRequest
from metadata.importers.cleaning import is_not_a_number, number_of, whole_of
from metadata.importers.files import Place
from metadata.importers.names import check_names, facts_of, measurements
from metadata.importers.rows import csv_rows, parquet_rows
from metadata.importers.spec import Draft, Given, ImporterSpec, Item, Refused
from metadata.records import Scalar

FEWEST_SIZES = 3  # columns that are numbers
FIRST_ROW = 2  # the names of the columns are row 1
FEWEST_TELLING = 2
_TELLING = frozenset(
    {"model", "method", "learning_rate", "rank", "dataset", "examples", "batch_size", "epochs",
     "seed", "train_seconds", "trainable_parameters"}
)  # fmt: skip
_FOREIGN = (
    "its columns do not say of which runs they are: no two of model, method, dataset, rate, rank "
    "and the like. Say which they are with --map ours=theirs."
)
Rows = Callable[[Any], Iterator[dict[str, Any]]]


def _reader(rows: Rows) -> Callable[[Place, Given], Iterator[Item]]:
    def read(place: Place, given: Given) -> Iterator[Item]:
        check_names(given.names)
        number = FIRST_ROW - 1
        try:
            for number, row in enumerate(rows(place.path), start=FIRST_ROW):
                if number == FIRST_ROW and not _is_of_runs(row, given.names):
                    yield Refused(label=place.label, reason=_FOREIGN)
                    return
                yield from _items(row, f"{place.label}, row {number}", given.names)
            if number < FIRST_ROW:
                yield Refused(label=place.label, reason="it has no row below its column names")
        except InvalidRequest as error:
            yield Refused(label=f"{place.label}, after row {number}", reason=str(error))

    return read


def _items(row: Mapping[str, Any], label: str, names: Mapping[str, str]) -> Iterator[Item]:
    sizes = {name: int(name) for name in row if name.isascii() and name.isdigit()}
    if len(sizes) < FEWEST_SIZES:
        yield _item(row, label, names)
        return
    rest = {name: value for name, value in row.items() if name not in sizes}
    base = next((row[name] for name, size in sizes.items() if size == 0), None)
    for name, size in sizes.items():
        if size > 0:
            wide = {**rest, "examples": size, "test_loss": row[name], "base_loss": base}
            yield _item(wide, f"{label}, column {size}", names, last_loss=row[name])


def _is_of_runs(row: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    """Say whether a row tells of a run, by what its columns are called."""
    named = {name: value if value not in (None, "") else "1" for name, value in row.items()}
    sizes = sum(name.isascii() and name.isdigit() for name in row) >= FEWEST_SIZES
    facts = {*facts_of(row, names).facts, *facts_of(named, names).facts}
    return len(_TELLING & facts) + sizes >= FEWEST_TELLING


def _item(
    row: Mapping[str, Any], label: str, names: Mapping[str, str], last_loss: Any = None
) -> Draft:
    told = facts_of(row, names)
    facts: dict[str, Scalar] = dict(told.facts)
    notes = list(told.notes)
    if last_loss is not None and facts.get("base_loss") is not None:
        facts["last_loss"] = number_of(last_loss)
        notes.append("column 0 is the loss of the untrained base; the sizes are test losses")
    if "state" not in facts and any(
        is_not_a_number(value) for name, value in row.items() if "loss" in name.lower()
    ):
        facts |= {"state": "diverged", "reason": "its loss is no number"}
    step = whole_of(facts.get("steps")) or 0
    return Draft(
        label=label,
        identity={name: _plain(value) for name, value in row.items()},
        facts=facts,
        curve=tuple(measurements(told.results, step=step)),
        notes=tuple(notes),
    )


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) or value is None else str(value)


def is_table(place: Place, *suffixes: str) -> bool:
    """Say whether a file's name ends so."""
    return not place.is_folder and place.path.suffix.lower() in suffixes


CSV = ImporterSpec(
    name="csv",
    title="CSV, a row a run, also as Weights & Biases exports it",
    claims=lambda place: is_table(place, ".csv", ".tsv"),
    read=_reader(csv_rows),
)
PARQUET = ImporterSpec(
    name="parquet",
    title="Parquet, a row a run",
    claims=lambda place: is_table(place, ".parquet"),
    read=_reader(parquet_rows),
)
