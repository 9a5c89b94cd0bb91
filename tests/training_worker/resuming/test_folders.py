"""A checkpoint on disk is whole and this run's, or it is passed over with the reason."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from training_worker.resuming import folders
from training_worker.resuming.folders import Place, Unusable, writer_of

RUN = "a-fingerprint"
PLACE = Place(120, 2)


def written(folder: Path, place: Place = PLACE, text: str = "weights" * 1000) -> Path:
    folders.write(
        folder, place, {"state.pt": writer_of(text), "ledger.json": writer_of("{}")}, run=RUN
    )
    return folder / place.name


def cut(path: Path) -> None:
    with (path / "state.pt").open("r+b") as file:
        file.truncate(100)


def flip(path: Path) -> None:
    content = bytearray((path / "state.pt").read_bytes())
    content[3000] ^= 1
    (path / "state.pt").write_bytes(content)


def change_format(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))


BREAKS: dict[str, Callable[[Path], object]] = {
    "state.pt should have 7,000 bytes and has 100": cut,
    "the bytes of state.pt are not those": flip,
    "no manifest": lambda path: (path / "manifest.json").unlink(),
    "its format is 99": change_format,
    "its manifest cannot be read": lambda path: (path / "manifest.json").write_text("{"),
    "state.pt is missing": lambda path: (path / "state.pt").unlink(),
    "its manifest is of step 120": lambda path: path.rename(path.parent / "00000121-2"),
}


def test_what_is_written_verifies_and_is_named_by_step_and_attempt(tmp_path: Path) -> None:
    path = written(tmp_path)

    manifest = folders.verify(tmp_path, PLACE, run=RUN)

    assert path.name == "00000120-2"
    assert manifest.bytes == 7002
    assert [entry.name for entry in tmp_path.iterdir()] == ["00000120-2"]


@pytest.mark.parametrize("reason", BREAKS)
def test_a_broken_checkpoint_is_refused_with_the_reason(reason: str, tmp_path: Path) -> None:
    BREAKS[reason](written(tmp_path))

    with pytest.raises(Unusable, match=reason):
        folders.verify(tmp_path, folders.places(tmp_path)[0], run=RUN)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    written(tmp_path)

    with pytest.raises(folders.OfAnotherRun, match="other data"):
        folders.verify(tmp_path, PLACE, run="another")


def test_the_newest_is_that_of_the_highest_step_then_of_the_highest_attempt(tmp_path: Path) -> None:
    for place in (Place(9, 3), Place(120, 1), Place(120, 2), Place(100_000_000, 1)):
        written(tmp_path, place)
    (tmp_path / "notes").mkdir()

    assert folders.places(tmp_path)[:2] == [Place(100_000_000, 1), Place(120, 2)]
    assert len(folders.places(tmp_path)) == 4


def test_a_checkpoint_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def half(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folders.write(tmp_path, PLACE, {"state.pt": half}, run=RUN)

    assert list(tmp_path.iterdir()) == []


WRITES_TOO_MUCH = """
import pathlib, resource, signal, sys, torch
from training_worker.resuming import folders
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
state = {"weights": [torch.ones(20_000) * number for number in range(9)]}
try:
    writers = {"state.pt": lambda file: torch.save(state, file)}
    folders.write(pathlib.Path(sys.argv[1]), folders.Place(5, 1), writers, run="r")
except OSError as error:
    print(error.strerror)
"""


def test_the_systems_reason_comes_through_torchs_own_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITES_TOO_MUCH, str(tmp_path)]

    told = subprocess.run(command, capture_output=True, text=True, timeout=200)

    assert told.stdout == "File too large\n", told.stderr
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_dead_attempts_go_and_those_of_later_ones_stay(tmp_path: Path) -> None:
    for name in (".writing-00000120-1", ".writing-00000120-3"):
        (tmp_path / name).mkdir()

    folders.remove_unfinished(tmp_path, up_to_attempt=2)

    assert [path.name for path in tmp_path.iterdir()] == [".writing-00000120-3"]
