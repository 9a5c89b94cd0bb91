"""Which accelerators an attempt on this machine may use, found without torch."""

import contextlib
import csv
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from metadata.errors import Unavailable

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASK_SECONDS = 20.0  # a driver that is not kept loaded takes several to answer
_KINDS = "index,uuid,name,memory.total"
MIB_OF_GIB = 1024


def visible_devices(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs as CUDA names them: those this process was given, else all; may be none."""
    given = environment.get(VISIBLE)
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        return tuple(name for name in names if name and name != "-1")
    return tuple(_ask(environment, "uuid"))


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU as its driver tells of it."""

    name: str
    memory_gib: float


def first_gpu(environment: Mapping[str, str]) -> Gpu | None:
    """Return the first GPU that attempts of this machine may use; None where there is none."""
    visible = visible_devices(environment)
    for row in csv.reader(_ask(environment, _KINDS), skipinitialspace=True):
        if len(row) == len(_KINDS.split(",")) and {row[0], row[1]} & set(visible[:1]):
            with contextlib.suppress(ValueError):  # "[N/A]", where memory is the whole system's
                return Gpu(name=row[2], memory_gib=float(row[3]) / MIB_OF_GIB)
    return None


def choose(known: tuple[str, ...], in_use: Iterable[str], count: int) -> tuple[str, ...]:
    """Return the `count` devices that the fewest attempts use; none where there are none.

    Raises:
        Unavailable: So many devices are not there.
    """
    if not known:
        return ()
    if count > len(known):
        raise Unavailable(
            f"The attempt needs {count} GPUs, this machine has {len(known)}. "
            "Ask for fewer, or run it where there are more."
        )
    uses = Counter(in_use)
    return tuple(sorted(known, key=lambda name: (uses[name], known.index(name)))[:count])


def _ask(environment: Mapping[str, str], fields: str) -> list[str]:
    """Return a line of fields for each GPU, none where there is no driver."""
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return []
    query = [program, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            query, capture_output=True, check=True, text=True, timeout=ASK_SECONDS
        )
    except (OSError, subprocess.SubprocessError):  # it is installed, and there is no driver
        return []
    return answer.stdout.splitlines()
