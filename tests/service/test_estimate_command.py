import json
import stat
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from metadata.features.model import find_model
from metadata.footprint import footprint
from metadata.records import Configuration
from tests.service.conftest import ASK, Run

CONFIGURATION = {
    "method": {"name": "lora", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "batch_size": 8,
    "loss_on": "all",
}


@pytest.fixture
def configuration_file(tmp_path: Path) -> Path:
    path = tmp_path / "lora.json"
    path.write_text(json.dumps(CONFIGURATION))
    return path


def python_that(folder: Path, says: str) -> Path:
    """Return an interpreter that runs a line of Python instead of what it is asked."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} -c {says!r}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_an_estimate_is_answered_without_a_server(
    run: Run, data_file: Path, configuration_file: Path
) -> None:
    ended = run("estimate", str(data_file), *ASK, "--configuration", str(configuration_file))

    assert (ended.code, ended.err) == (0, "")
    for shown in ("It fits. LoRA (rank 8", "Memory over one step", "The peak of one step, "):
        assert shown in ended.out
    assert "\N{REPLACEMENT CHARACTER}" not in ended.out


def test_a_rank_of_a_recommendation_is_estimated(run: Run, data_file: Path) -> None:
    given = json.loads(run("recommend", str(data_file), *ASK, "--count", "2", "--json").out)

    ended = run(
        "estimate", str(data_file), *ASK, "--recommendation", given["id"], "--rank", "2", "--json"
    )

    found = json.loads(ended.out)
    wanted = given["configurations"][1]["configuration"]
    assert (found["recommendation_id"], found["rank"]) == (given["id"], 2)
    assert found["configuration"]["method"] == wanted["method"]


def test_limits_decide_whether_it_fits(run: Run, data_file: Path, configuration_file: Path) -> None:
    asked = ("estimate", str(data_file), *ASK, "--configuration", str(configuration_file))

    ended = run(*asked, "--memory-gib", "0.001", "--train-minutes", "0.0001")

    assert ended.code == 0
    assert "It does not fit." in ended.out
    assert "It takes too long: " in ended.out


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_the_picture_is_written(
    run: Run, data_file: Path, configuration_file: Path, tmp_path: Path, suffix: str
) -> None:
    picture = tmp_path / f"memory{suffix}"
    asked = ("estimate", str(data_file), *ASK, "--configuration", str(configuration_file))

    ended = run(*asked, "--plot", str(picture), "--json")

    text = picture.read_text()
    assert ended.code == 0
    assert "prefers-color-scheme: dark" in text
    drawn = text[text.index("<svg") : text.index("</svg>") + len("</svg>")]
    root = ET.fromstring(drawn)
    assert (root.get("aria-label") or "").startswith("Memory over one training step: Forward ")
    if suffix == ".html":
        assert f"<li>{json.loads(ended.out)['advice'][0]}</li>" in text


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--plot", "memory.png"), 2, "--plot writes .svg or .html, got 'memory.png'"),
        (("--plot", "/nowhere/at/all.svg"), 1, "--plot cannot write all.svg"),
        (("--recommendation", "rec-none"), 1, "No recommendation has the id 'rec-none'"),
        (("--memory-gib", "0"), 2, "greater than 0"),
        (("--device", "L41S"), 2, "Near ones: "),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Run, data_file: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended = run("estimate", str(data_file), *ASK, *arguments)

    assert ended.code == code
    assert says in " ".join(ended.err.split())


def test_two_choices_at_once_are_refused(
    run: Run, data_file: Path, configuration_file: Path
) -> None:
    both = ("--configuration", str(configuration_file), "--recommendation", "rec-1")

    ended = run("estimate", str(data_file), *ASK, *both)

    assert ended.code == 2
    assert "not both" in ended.err


def test_exact_simulates_the_step_that_was_estimated(
    run: Run, data_file: Path, configuration_file: Path
) -> None:
    pytest.importorskip("torch", reason="simulating needs torch")
    asked = ("estimate", str(data_file), *ASK, "--configuration", str(configuration_file))

    found: dict[str, Any] = json.loads(run(*asked, "--exact", "--json").out)

    exact = found["exact"]
    formula = footprint(
        Configuration.model_validate(found["configuration"]),
        find_model("peftwise-tiny"),
        micro_batch_size=found["micro_batch_size"],
        length_tokens=found["length_tokens"],
        accumulates=found["accumulation_steps"] > 1,
    )
    assert exact["trainable"] == found["trainable_parameters"]
    assert exact["formula_peak_bytes"] == formula.peak_bytes
    assert exact["peak_tensor_bytes"] == max(p["peak_bytes"] for p in exact["peaks"].values())
    assert exact["peak_tensor_bytes"] == pytest.approx(formula.peak_bytes, rel=0.5)
    assert exact["operations"] > 100


def test_exact_without_torch_says_what_to_install(
    run: Run,
    data_file: Path,
    configuration_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = python_that(tmp_path, "import torch_that_is_not_here")
    monkeypatch.setenv("PEFTWISE_WORKER_PYTHON", str(bare))
    asked = ("estimate", str(data_file), *ASK, "--configuration", str(configuration_file))

    ended = run(*asked, "--exact")

    assert ended.code == 1
    said = " ".join(ended.err.split())
    assert "--exact needs torch_that_is_not_here" in said
    assert "pip install peftwise[worker]" in said


def test_exact_with_a_python_that_is_not_there_says_so(
    run: Run, data_file: Path, configuration_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFTWISE_WORKER_PYTHON", "/nowhere/python")
    asked = ("estimate", str(data_file), *ASK, "--configuration", str(configuration_file))

    ended = run(*asked, "--exact")

    assert ended.code == 1
    assert "PEFTWISE_WORKER_PYTHON" in ended.err
