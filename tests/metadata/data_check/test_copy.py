import errno
import io
from collections import Counter
from pathlib import Path

import pytest

from metadata.data_check.check import DataCheck
from metadata.data_check.copy import repaired_copy
from metadata.data_check.problems import Problem
from metadata.errors import InvalidRequest, NoSpace
from metadata.examples import LINE_BYTES
from tests.metadata.data_check.malformed import make_malformed


def opened(content: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]


def repair(content: bytes, path: Path) -> list[Problem]:
    found: list[Problem] = []
    with repaired_copy(path) as copy:
        DataCheck(report=found.append).run(opened(content), copy=copy)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_a_repaired_copy_has_what_was_not_repaired_and_nothing_else(
    tmp_path: Path, seed: int
) -> None:
    content = make_malformed(seed).training
    path = tmp_path / "repaired.jsonl"

    problems = repair(content, path)

    left: list[Problem] = []
    DataCheck(report=left.append).run(opened(path.read_bytes()))
    unrepaired = Counter(p.rule for p in problems if not p.is_repaired)
    assert Counter(p.rule for p in left) == unrepaired
    assert [path.name] == [found.name for found in tmp_path.iterdir()]


def test_each_safe_repair_is_made_and_the_rest_stays_as_it_is(tmp_path: Path) -> None:
    content = (
        b'\xef\xbb\xbf{"prompt": "a,}", "completion": "b"}\r\n'
        b"\n"
        b'{"completion": "b", "prompt": "a,}"}\n'
        b'{"prompt":  "c", "completion": ["x",]   ,}\n'
        b'{"prompt": "\xff"}\n'
        b'{"prompt": "e", "completion": '
    )

    problems = repair(content, tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == (
        b'{"prompt": "a,}", "completion": "b"}\n'
        b'{"prompt":  "c", "completion": ["x"]   }\n'
        b'{"prompt": "\xff"}\n'
        b'{"prompt": "e", "completion": \n'
    )
    assert [(p.line, p.rule) for p in problems if p.is_repaired] == [
        (1, "byte-order-mark"),
        (1, "carriage-return"),
        (2, "blank-line"),
        (3, "duplicate"),
        (4, "trailing-comma"),
    ]


def test_a_line_over_the_limit_is_copied_whole(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"text": "' + b"x" * (LINE_BYTES + 3_000_000) + b'"}\n{"text": "b"}\n'

    repair(content, tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == content[3:]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_become_utf8(tmp_path: Path, encoding: str) -> None:
    text = '{"text": "naïve 漢字 😀 \u2028 \u0085"}\n{"text": "b"}\n'

    repair(text.encode(encoding), tmp_path / "out")

    assert (tmp_path / "out").read_bytes() == text.encode()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda p: p.symlink_to("nowhere")])
def test_a_copy_never_takes_the_place_of_anything(tmp_path: Path, make: object) -> None:
    path = tmp_path / "taken"
    make(path)  # type: ignore[operator]

    with pytest.raises(InvalidRequest, match="never written over"), repaired_copy(path):
        pass


def test_a_name_that_is_taken_meanwhile_stays_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def write() -> None:
        with repaired_copy(path) as copy:
            copy.write_rest(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(InvalidRequest, match="cannot be written"):
        write()

    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_check_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with repaired_copy(tmp_path / "out") as copy:
            copy.write_rest(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def fill() -> None:
        with repaired_copy(tmp_path / "out") as copy:
            copy.write_rest(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NoSpace, match="No space left"):
        fill()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be written"), repaired_copy(tmp_path / "a/b"):
        pass
