"""What an importer says of a run before anything is filled in; an entry of the table."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from metadata.errors import InvalidRequest
from metadata.importers.files import Place
from metadata.records import DatasetProfile, Device, Measurement, ModelProfile, Run, Scalar


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a source says of one run.

    Attributes:
        label: The file, folder or row that it is from, without where that lies.
        identity: What makes it this run and no other, as JSON: the id is its hash.
        facts: Values by the names of `metadata.importers.vocabulary`.
        adapter: The PEFT config, where there is one.
        model_config: The `config.json` of the base model, where there is one.
        curve: All that was measured, the final results among it.
        notes: What the importer itself guessed.
    """

    label: str
    identity: Any
    facts: Mapping[str, Scalar]
    adapter: Mapping[str, Any] | None = None
    model_config: Mapping[str, Any] | None = None
    curve: tuple[Measurement, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What cannot be a run, or cannot be read, and why."""

    label: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller says beyond the source; it goes before what the source says.

    Attributes:
        names: Our names and theirs, for tables.
        key: For a tracking server that asks for one; it is sent there and kept nowhere.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    model: ModelProfile | None = None
    dataset: DatasetProfile | None = None
    device: Device | None = None
    key: str | None = None


NOTHING_GIVEN = Given()
Item = Draft | Refused | Run


def one_run(draft: Callable[[Place, Given], Draft]) -> Callable[[Place, Given], Iterator[Item]]:
    """Return the reader of a source that holds one run, which is refused where it cannot be read.

    Args:
        draft: (place, given) -> the run; raises InvalidRequest.
    """

    def read(place: Place, given: Given) -> Iterator[Item]:
        try:
            yield draft(place, given)
        except InvalidRequest as error:
            yield Refused(label=place.label, reason=str(error))

    return read


@dataclass(frozen=True, kw_only=True)
class ImporterSpec:
    """One source of past runs.

    Attributes:
        title: What it reads, in words.
        claims: Whether a file or folder is of this kind, by its names and its first bytes.
        read: Yields what is in it, a run at a time.
        address: Whether it reads from an address, which `read_address` is given, and no file.
    """

    name: str
    title: str
    claims: Callable[[Place], bool]
    read: Callable[[Place, Given], Iterator[Item]]
    read_address: Callable[[str, Given], Iterator[Item]] | None = None
