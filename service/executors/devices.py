"""Which accelerators an attempt on this machine may use, found without torch."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping

from metadata.errors import Unavailable

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASK_SECONDS = 20.0  # a driver that is not kept loaded takes several to answer
_QUERY = ("--query-gpu=uuid", "--format=csv,noheader")


def visible_devices(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs as CUDA names them: those this process was given, else all; may be none."""
    given = environment.get(VISIBLE)
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        return tuple(name for name in names if name and name != "-1")
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return ()
    try:
        answer = subprocess.run(
            [program, *_QUERY], capture_output=True, check=True, text=True, timeout=ASK_SECONDS
        )
    except (OSError, subprocess.SubprocessError):  # it is installed, and there is no driver
        return ()
    return tuple(answer.stdout.split())


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
