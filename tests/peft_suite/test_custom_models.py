"""PEFT's own test of custom models, with our tuners in the place of PEFT's.

Its source distribution has the tests, and `.ci/peft-source` fetches and unpacks it.
"""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / ".venv" / "peft-source" / f"peft-{version('peft')}"
LEAST = 3000  # tests that must have run: fewer, and the cases were not taken
WANTS_THE_HUB: tuple[str, ...] = ()  # names of tests that load a published model: none of these do


@pytest.mark.skipif(not SOURCE.is_dir(), reason=f"no {SOURCE.name}: run .ci/peft-source")
def test_our_tuners_pass_what_peft_asks_of_its_own() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "own_cases"]
    command += ["-W", "ignore", "-o", "addopts=", "tests/test_custom_models.py"]
    command += [f"--deselect=tests/test_custom_models.py::{name}" for name in WANTS_THE_HUB]
    root = HERE.parents[1]
    paths = os.pathsep.join([str(HERE), str(root)])

    done = subprocess.run(
        command,
        cwd=SOURCE,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    last = "\n".join(done.stdout.splitlines()[-40:])
    assert done.returncode == 0, last + done.stderr
    passed = re.search(r"(\d+) passed", last)
    assert passed is not None
    assert int(passed[1]) > LEAST, last
