from pathlib import Path
from statistics import mean

import pytest

from metadata.methods import METHODS
from metadata.simulated_rows import SimulatedRow, read_rows, row_of, write_rows


@pytest.fixture(scope="module")
def rows() -> list[SimulatedRow]:
    return list(read_rows())


def test_every_method_is_there_on_many_models(rows: list[SimulatedRow]) -> None:
    assert {row.configuration.method.name for row in rows} == set(METHODS)
    assert len({row.model.id for row in rows}) >= 50


def test_the_formulas_tell_the_peak_of_every_step(rows: list[SimulatedRow]) -> None:
    errors = [row.errors()["peak_bytes"] for row in rows]

    assert mean(map(abs, errors)) < 0.02
    assert max(map(abs, errors)) < 0.08


def test_they_tell_flops_and_operations_on_average(rows: list[SimulatedRow]) -> None:
    for name, most in (("flops", 0.05), ("operations", 0.15)):
        assert mean(abs(row.errors()[name]) for row in rows) < most


def test_rows_survive_the_file(rows: list[SimulatedRow], tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", rows[:5])

    assert list(read_rows(tmp_path / "rows.parquet")) == rows[:5]


def test_what_a_layer_adds_it_adds_again_at_any_depth(rows: list[SimulatedRow]) -> None:
    asked = rows[0].model_dump(
        mode="json",
        include={"model", "configuration", "micro_batch_size", "length_tokens", "targets"},
    )

    def layers(count: int) -> dict[str, object]:
        peak = {"peak_bytes": 100 + 10 * count}
        return {
            "flops": 1000 * count,
            "operations": 50 * count + 9,
            "optimizer_operations": 9,
            "peaks": dict.fromkeys(("forward", "backward", "optimizer"), peak),
        }

    row = row_of({**asked, "layers": {"2": layers(2), "3": layers(3)}})

    assert row is not None
    depth = row.model.layers
    assert (row.flops, row.operations) == (1000 * depth, 50 * depth)
    assert row.peak_bytes == 100 + 10 * depth
    assert row_of({"number": 3, "method": "lora", "error": "no configuration"}) is None
