"""Simulated steps of many methods on public models, as shipped, and how far formulas are from them.

No formula is fitted to them: each counts what a layer keeps and does, whatever the model, so that
every row is one of a model left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from metadata.footprint import Footprint, footprint
from metadata.records import Configuration, Count, ModelProfile, Positive, Record
from metadata.simulated import PHASES

SHIPPED_STEPS = Path(__file__).parent / "data" / "simulated.parquet"
# What the worker's rows say of two and of three layers, by which what one layer adds is known.
TWO, THREE = "2", "3"
QUANTITIES = ("peak_bytes", "flops", "operations")


class SimulatedRow(Record):
    """A step on a model of full depth; `targets` of the tokens of each text are learnt.

    `operations` are those of the passes, without the optimizer's.
    """

    model: ModelProfile
    configuration: Configuration
    micro_batch_size: Positive
    length_tokens: Positive
    targets: Positive
    peak_bytes: Count
    flops: Annotated[int, Field(ge=0, lt=2**63)]
    operations: Count

    @property
    def forecast(self) -> Footprint:
        """Return what the formulas say of the same step."""
        learnt = min(self.targets, self.length_tokens - 1)
        return footprint(
            self.configuration,
            self.model,
            micro_batch_size=self.micro_batch_size,
            length_tokens=self.length_tokens,
            target_share=learnt / self.length_tokens,
        )

    def errors(self) -> dict[str, float]:
        """Return by how much of the simulated figures the formulas are above them."""
        said = self.forecast
        forecast = {
            "peak_bytes": said.peak_bytes,
            "flops": said.flops,
            "operations": said.operations,
        }
        return {name: forecast[name] / max(1, getattr(self, name)) - 1 for name in QUANTITIES}


def row_of(told: Mapping[str, Any]) -> SimulatedRow | None:
    """Return a row of the worker's `simulate-table` at full depth; None where there is no step."""
    if "layers" not in told:
        return None
    two, three = told["layers"][TWO], told["layers"][THREE]
    more = told["model"]["layers"] - int(TWO)

    def at_full_depth(one: int, other: int) -> int:
        return int(one + more * (other - one))

    peaks = (
        at_full_depth(*(layers["peaks"][phase]["peak_bytes"] for layers in (two, three)))
        for phase in PHASES
    )
    passes = (layers["operations"] - layers["optimizer_operations"] for layers in (two, three))
    asked = ("model", "configuration", "micro_batch_size", "length_tokens", "targets")
    return SimulatedRow.model_validate(
        {name: told[name] for name in asked}
        | {
            "peak_bytes": max(peaks),
            "flops": at_full_depth(two["flops"], three["flops"]),
            "operations": at_full_depth(*passes),
        }
    )


def write_rows(path: Path, rows: Iterable[SimulatedRow]) -> None:
    """Write rows as Parquet; model and configuration as JSON text."""
    parts = ("model", "configuration")
    written = [
        row.model_dump(exclude=set(parts))
        | {name: getattr(row, name).model_dump_json() for name in parts}
        | {"method": row.configuration.method.name, "model_id": row.model.id}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(written), path, compression="zstd", compression_level=19)


def read_rows(path: Path = SHIPPED_STEPS) -> Iterator[SimulatedRow]:
    """Yield the rows of a file that `write_rows` wrote."""
    for row in pq.read_table(path).to_pylist():
        whole = {
            "model": ModelProfile.model_validate_json(row.pop("model")),
            "configuration": Configuration.model_validate_json(row.pop("configuration")),
        }
        numbers = {name: row[name] for name in SimulatedRow.model_fields if name in row}
        yield SimulatedRow.model_validate(whole | numbers)
