"""Every command of the README runs, in its order, as a newcomer would type it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8000"
SECONDS = 300
# What is not run here, and what runs it instead.
ELSEWHERE = {"make run": ".ci/run starts it", "docker compose": "test_docker.py reads the file"}
TREE = re.findall(r"^```text\nmetadata/.*?^```$", README, re.MULTILINE | re.DOTALL)


def is_elsewhere(block: str) -> bool:
    return any(block.startswith(command) for command in ELSEWHERE)


def test_the_readme_shows_commands_and_a_tree() -> None:
    assert len(BLOCKS) >= 4
    assert len(TREE) == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's commands call curl")
def test_every_command_of_the_readme_works(service: httpx.Client, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PEFTWISE_DATA_DIR": str(tmp_path / "data")}
    for block in filter(lambda block: not is_elsewhere(block), BLOCKS):
        commands = block.replace(ADDRESS, str(service.base_url).rstrip("/"))
        script = f'curl() {{ command curl --fail-with-body "$@"; }}\n{commands}'
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_the_readme_shows_an_entry_as_it_stands() -> None:
    shown = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    family = (ROOT / "metadata" / "methods" / "orthogonal.py").read_text(encoding="utf-8")

    assert len(shown) == 1
    assert shown[0] in family


def test_the_readmes_tree_names_what_is_there() -> None:
    folder, missing = "", []
    for line in TREE[0].splitlines()[1:-1]:
        names = line.strip().split("  ")[0].split(", ")
        if not line.startswith(" "):  # a folder; the lines indented under it are inside
            folder, names = names[0], [""]
        missing += [folder + name for name in names if not (ROOT / folder / name).exists()]
    assert not missing
