"""What is asked of a simulation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from metadata.errors import InvalidRequest
from metadata.records import Configuration, content_hash

# worker: the loss of our own worker, on the targets; model: of the model itself, on every token,
# the output at hand until the next step, as most training loops write it.
Loss = Literal["worker", "model"]
DeviceKind = Literal["cuda", "cpu"]
LONGEST_TOKENS, MOST_ROWS, MOST_PROCESSES = 1_048_576, 65_536, 65_536


@dataclass(frozen=True, kw_only=True)
class Question:
    """A model by its `config.json`, what is trained on it, and the micro-batch.

    Attributes:
        adapter: A configuration of ours; or what an `adapter_config.json` says, none for full
            fine-tuning, with the precision and the rest taken from `configuration`.
        targets: Of the tokens of a text, how many the loss is on, all but the first where None.
        padded: Whether texts differ in length: attention is given a mask then, and takes no causal
            short cut.
        accumulates: Whether gradients of an earlier micro-batch are there while this one runs.
        processes: GPUs that train together; each holds the buckets of the gradients' exchange.
        device_kind: Where the optimizer runs: on a GPU it steps over many tensors at once.
    """

    model: Mapping[str, Any]
    configuration: Configuration
    adapter: Mapping[str, Any] | None = None
    micro_batch_size: int
    length_tokens: int
    targets: int | None = None
    padded: bool = True
    accumulates: bool = False
    processes: int = 1
    loss: Loss = "worker"
    device_kind: DeviceKind = "cuda"

    def __post_init__(self) -> None:
        """Refuse what no step can be.

        Raises:
            InvalidRequest: A size is out of its range.
        """
        for name, least, most in (
            ("micro_batch_size", 1, MOST_ROWS),
            ("length_tokens", 2, LONGEST_TOKENS),
            ("processes", 1, MOST_PROCESSES),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidRequest(
                    f"{name} must lie between {least} and {most:,}, got {value:,}. Change it.",
                    param=name,
                )

    @property
    def key(self) -> str:
        """Name the question by its content."""
        said = asdict(self) | {"configuration": self.configuration.model_dump(mode="json")}
        return content_hash(said)[:32]
