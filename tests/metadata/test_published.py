import importlib
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from math import isclose, isfinite
from pathlib import Path

import pytest

from metadata.errors import InvalidRequest
from metadata.methods import METHODS
from metadata.published import MEANINGS, PUBLISHED_FILE, Figure, published, read_figures

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
RUNS = ROOT / ".." / "shared" / "data" / "runs"
needs_runs = pytest.mark.skipif(
    not (RUNS / "manifest.json").is_file(),
    reason="the shared runs are not beside this checkout",
)
# What makes the figures of a source, and the folders that it may read.
SOURCES = {
    "huggingface/peft": (
        ("published_comparison.comparison_figures", "published_comparison.image_figures"),
        ("peft_method_comparison", "peft_method_comparison_history"),
    ),
    "thinking-machines-lab/tinker-cookbook": (
        ("published_rates.rate_figures",),
        ("tinker_sft_sweep",),
    ),
    "silversuncn/lora-rank-scaling": (
        ("published_growth.rank_figures",),
        ("glue_lora_rank_scaling",),
    ),
    "silversuncn/arch-peft-comparison": (
        ("published_growth.architecture_figures",),
        ("glue_arch_peft",),
    ),
    "venkatkollu/indic-peft-comparison": (("published_growth.indic_figures",), ("indic_peft",)),
    "linhaowei1/Fine-tuning-Scaling-Law": (
        ("published_laws.law_figures",),
        ("finetuning_scaling_law",),
    ),
}
Make = Callable[[Path], Iterator[Figure]]


@pytest.fixture
def makers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Make]]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def of(source: str) -> list[Make]:
        names = (name.split(".") for name in SOURCES[source][0])
        return [getattr(importlib.import_module(module), name) for module, name in names]

    return of


def test_every_figure_has_a_source_a_unit_and_a_finite_value() -> None:
    for one in read_figures():
        assert one.unit == MEANINGS[one.figure].unit
        assert isfinite(one.value)
        assert one.method is None or one.method in METHODS
        assert one.source in SOURCES
        assert one.file
        assert one.commit
        assert one.licence in {"Apache-2.0", "MIT"}


def test_no_figure_stands_twice() -> None:
    counts = Counter(
        one.model_copy(update={"value": 0.0, "low": None, "high": None}) for one in read_figures()
    )

    assert [one for one, count in counts.items() if count > 1] == []
    assert 300 <= len(counts) <= 500  # what a reader would quote, not the tables


def test_every_kind_of_figure_is_there() -> None:
    assert {one.figure for one in read_figures()} == set(MEANINGS)


@needs_runs
@pytest.mark.parametrize("source", SOURCES)
def test_the_shipped_figures_of_a_source_are_made_from_its_tables_alone(
    source: str, makers: Callable[[str], list[Make]], tmp_path: Path
) -> None:
    for name in (*SOURCES[source][1], "manifest.json"):
        (tmp_path / name).symlink_to(RUNS.resolve() / name)

    made = [one for make in makers(source) for one in make(tmp_path)]

    shipped = [one for one in read_figures() if one.source == source]
    assert len(made) == len(shipped)
    for new, old in zip(made, shipped, strict=True):
        assert _said(new) == _said(old)
        assert _near(new, old), (new, old)


def _said(figure: Figure) -> tuple[object, ...]:
    said = figure.model_dump(exclude={"value", "low", "high", "condition"})
    return (*said.values(), figure.condition.partition("; error")[0])


def _near(one: Figure, other: Figure) -> bool:
    for name in ("value", "low", "high"):
        new, old = getattr(one, name), getattr(other, name)
        if (new is None) != (old is None) or not (
            new is None or isclose(new, old, rel_tol=0.01)  # the last digit of a fit
        ):
            return False
    return True


@needs_runs
def test_another_table_makes_other_figures(
    makers: Callable[[str], list[Make]], tmp_path: Path
) -> None:
    source = "thinking-machines-lab/tinker-cookbook"
    shutil.copytree(RUNS / "tinker_sft_sweep", tmp_path / "tinker_sft_sweep")
    shutil.copy(RUNS / "manifest.json", tmp_path)
    file = tmp_path / "tinker_sft_sweep" / "sft_sweep.csv"
    text = file.read_text()
    row = "meta-llama/Llama-3.2-1B,tulu3,128,780,1e-04,16,0.8297"
    assert row in text
    file.write_text(text.replace(row, row.replace("0.8297", "0.7000")))

    made = [one for make in makers(source) for one in make(tmp_path)]

    best = {(one.model, one.rank): one.value for one in made if one.figure == "best_rate"}
    wanted = {(one.model, one.rank): one.value for one in published("best_rate")}
    assert best == wanted | {("meta-llama/Llama-3.2-1B", 16): 1e-4}


@needs_runs
def test_best_rate_and_flatness_agree_with_the_table_by_hand() -> None:
    # Llama-3.2-1B, rank 16: 0.8038 at 3e-4, 0.7948 at 1e-3, diverged at 3e-3.
    (best,) = published("best_rate", model="meta-llama/Llama-3.2-1B", rank=16)
    # Rank 4 at its best 0.8162, rank 128 at its best 0.7763.
    (lost,) = published("loss_of_rank", model="meta-llama/Llama-3.2-1B", rank=4)

    assert (best.value, best.low, best.high) == (1e-3, 3e-4, 3e-3)
    assert lost.value == pytest.approx(0.8162 - 0.7763)
    assert published("loss_at_triple_rate", model="meta-llama/Llama-3.2-1B") == ()


def test_costs_agree_with_runs_by_hand() -> None:
    # DoRA and rank 64 of the newest versions: 22.85 and 21.01 GiB, the same within 0.2 % before.
    # Seconds of 5,000 steps, full and rank 64, in June 2025, January and July 2026.
    (memory,) = published("peak_memory_ratio", method="dora", model="meta-llama/Llama-3.2-3B")
    (full,) = published("step_time_ratio", method="full", model="meta-llama/Llama-3.2-3B")

    assert memory.value == pytest.approx(22.85 / 21.01, rel=3e-3)
    assert full.value == pytest.approx((1813 / 630 + 1831 / 612 + 1813 / 596) / 3, rel=2e-3)


def test_rows_that_look_typed_by_hand_are_not_leant_on() -> None:
    models = {(one.task, one.model) for one in published("scaling_exponent")}

    assert len(models) == 56
    assert ("flan", "google/mt5-large") not in models
    assert ("wmt19", "google/mt5-base") not in models


def test_figures_are_found_by_any_column() -> None:
    found = published("best_rate", family="qwen3", rank=128)

    assert {one.model for one in found} == {
        "Qwen/Qwen3-4B-Instruct-2507",
        "Qwen/Qwen3-8B",
        "Qwen/Qwen3-8B-Base",
    }
    assert published("best_rate", method="dora") == ()


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(InvalidRequest, match="best_rate"):
        published("best_rates")
    with pytest.raises(InvalidRequest, match="method"):
        published("best_rate", methods="lora")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("accuracy_difference,adalora", "accuracy_difference,no_such_method"),
        ("accuracy_difference,adalora", "no_such_figure,adalora"),
        (",-0.1274,-0.1213,", ",-0.1274,-0.1273,"),
        (",accuracy,", ",times,"),
    ],
)
def test_a_row_that_is_no_figure_is_refused_by_its_line(tmp_path: Path, old: str, new: str) -> None:
    header, first, *_ = PUBLISHED_FILE.read_text().splitlines()
    assert old in first
    file = tmp_path / "published.csv"
    file.write_text(f"{header}\n{first.replace(old, new)}\n")

    with pytest.raises(InvalidRequest, match="Line 2 "):
        read_figures(file)


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps([]))

    ran = subprocess.run(
        [sys.executable, str(BENCHMARKS / "published.py"), "--runs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 1
    assert "must name peft_method_comparison/MetaMathQA" in ran.stderr
