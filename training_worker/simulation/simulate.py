"""Simulate a training step: build a shell, put the method on it, take two steps, note the second.

The first step makes the optimizer's state; the second runs beside it, as all later ones do.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from metadata.architectures import attention_in
from metadata.errors import InvalidConfiguration, InvalidRequest
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.simulated import SimulatedStep
from training_worker.adapter import trainable
from training_worker.adaptive_rank import allocate
from training_worker.clipping import clip
from training_worker.entries import resolve
from training_worker.model import DTYPES, prepare
from training_worker.optimizer import build_optimizer, freeze
from training_worker.simulation.dropout import dropout_of
from training_worker.simulation.looking import masks
from training_worker.simulation.methods import what_to_put
from training_worker.simulation.quantized import NOTE as QUANTIZED
from training_worker.simulation.question import Question
from training_worker.simulation.recorder import Recorder
from training_worker.simulation.shell import build_shell, read_model_config
from training_worker.simulation.stand_ins import stand_in_of

RATE, STEP = 1e-3, 2  # decide no shape
BUCKETS = "with DDP's buckets beside the gradients; their exchange takes no time here"
FORWARD_ONLY = "only the forward pass is simulated: what the search does between passes is not"


def simulate(question: Question) -> SimulatedStep:
    """Return what a training step of the question needs.

    Raises:
        InvalidRequest: The model is none that can be simulated.
        InvalidConfiguration: The method does not go with the model.
    """
    with on_fakes(question) as (model, vocabulary):
        return _Step(model, question, vocabulary=vocabulary).simulated()


@contextmanager
def on_fakes(question: Question) -> Iterator[tuple[nn.Module, int]]:
    """Give the question's model with its method on it, and its vocabulary, to run on fakes."""
    configuration = question.configuration
    config = read_model_config(question.model)
    _check_length(config, question.length_tokens)
    _check_quantization(question)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with stand_in_of(question).in_place():
        model = build_shell(
            config,
            mode,
            dtype=DTYPES[configuration.precision],
            attention=attention_in(config.model_type, configuration.attention),
            quantization=configuration.quantization,
            put=what_to_put(question),
        )
        with (
            mode,
            masks(question.padded),
            dropout_of(question.device_kind),
            torch.sparse.check_sparse_tensor_invariants(False),  # it looks at numbers
        ):
            prepare(model, configuration)
            yield model, config.get_text_config().vocab_size


def _check_length(config: Any, length_tokens: int) -> None:
    most = getattr(config.get_text_config(), "max_position_embeddings", None)
    if isinstance(most, int) and length_tokens > most:
        raise InvalidRequest(
            f"length_tokens must be at most the {most:,} that the model reads, got "
            f"{length_tokens:,}. Ask for shorter texts.",
            param="length_tokens",
        )


def _check_quantization(question: Question) -> None:
    """Refuse what no quantised base carries."""
    configuration = question.configuration
    spec, asked = METHODS[configuration.method.name], configuration.quantization
    if asked != "none" and question.adapter is None and asked not in spec.quantizations:
        known = ", ".join(spec.quantizations) or "none"
        raise InvalidConfiguration(
            f"quantization must be one that {spec.title} goes with ({known}), got {asked}. Set it "
            "to none, or choose another method.",
            param="quantization",
        )


class _Step:
    """One step on a model of fakes, and what was seen of it."""

    def __init__(self, model: Any, question: Question, *, vocabulary: int) -> None:
        self._model, self._question = model, question
        self._stand_in = stand_in_of(question)
        self._held = freeze(model, question.configuration)
        self._weights = trainable(model)
        penalty = METHODS[question.configuration.method.name].penalty
        self._penalty = resolve(penalty) if penalty and question.adapter is None else None
        self._recorder = Recorder(vocabulary=vocabulary)

    def simulated(self) -> SimulatedStep:
        self._model.train()
        with self._recorder as recorder:
            device, host = self._stand_in.on_device(self._model, self._question.adapter or {})
            recorder.add(device)
            recorder.leave_on_host(host)
            has_gradients = (
                OPTIMIZERS[self._question.configuration.optimizer.name].kind == "gradient"
            )
            notes = self._learn() if has_gradients else self._judge()
        return SimulatedStep(
            trainable=sum(weight.numel() for weight in self._weights.values()),
            parameters=sum(weight.numel() for weight in self._model.parameters()),
            peaks=recorder.peaks,
            kept_bytes=recorder.kept_bytes,
            operations=recorder.operations,
            notes=(*self._notes(), *notes),
        )

    def _notes(self) -> tuple[str, ...]:
        is_quantized = self._question.configuration.quantization != "none"
        return (*self._stand_in.notes, *((QUANTIZED,) if is_quantized else ()))

    def _learn(self) -> tuple[str, ...]:
        """Take two steps along gradients."""
        self._recorder.watch_gradients(self._weights.values())
        optimizer, ids_BL, buckets = self._optimizer(), self._ids(), self._buckets()
        self._recorder.mark(buckets, "gradients")
        for _ in range(2):
            self._recorder.forget()
            self._take(optimizer, ids_BL)
        return (BUCKETS,) if buckets else ()

    @torch.no_grad()
    def _judge(self) -> tuple[str, ...]:
        """Run the model forward alone, as searches without gradients do."""
        self._recorder.enter("forward")
        self._loss(self._ids())
        return (FORWARD_ONLY,)

    def _take(self, optimizer: torch.optim.Optimizer, ids_BL: torch.Tensor) -> None:
        recorder, output = self._recorder, None
        for _ in range(2 if self._question.accumulates else 1):
            recorder.enter("forward")
            loss, output = self._loss(ids_BL)
            recorder.enter("backward")
            loss.backward()
        del loss
        if self._penalty is not None:
            self._penalty(self._model).backward()
        recorder.enter("optimizer")
        clip(self._weights, self._question.configuration.gradient_clipping)
        optimizer.step()
        allocate(self._model, STEP)
        recorder.mark(_state(optimizer), "state")
        optimizer.zero_grad(set_to_none=True)
        del output  # such loops hold it until here

    def _buckets(self) -> list[torch.Tensor]:
        """Return what several GPUs exchange gradients in: as many bytes, flat, of each dtype."""
        if self._question.processes == 1:
            return []
        numbers: Counter[torch.dtype] = Counter()
        for weight in self._weights.values():
            numbers[weight.dtype] += weight.numel()
        return [torch.empty(count, dtype=dtype) for dtype, count in numbers.items()]

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer in the form that the device has: on a GPU, AdamW of many tensors.

        Our worker's is one kernel there, others' are several that go over all tensors at once.
        """
        configuration = self._question.configuration
        if configuration.optimizer.name != "adamw" or self._question.device_kind == "cpu":
            return build_optimizer(self._weights, configuration, self._held)
        one_kernel = self._question.loss == "worker"
        return torch.optim.AdamW(
            self._weights.values(), lr=RATE, fused=one_kernel, foreach=not one_kernel
        )

    def _loss(self, ids_BL: torch.Tensor) -> tuple[torch.Tensor, Any]:
        mask_BL = torch.ones_like(ids_BL)
        if self._question.loss == "model":
            output = self._model(input_ids=ids_BL, attention_mask=mask_BL, labels=ids_BL)
            return output.loss, output
        logits_BLV = self._model(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
        rows_T, columns_T = self._targets(ids_BL)
        chosen_TV = logits_BLV[:, -ids_BL.shape[1] : -1][rows_T, columns_T].float()
        del logits_BLV
        labels_T = ids_BL[:, 1:][rows_T, columns_T]
        nats = functional.cross_entropy(chosen_TV, labels_T, reduction="sum")
        return nats / len(labels_T), None

    def _targets(self, ids_BL: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the rows and columns of as many targets as are asked for; any will do."""
        rows, length = ids_BL.shape
        asked = self._question.targets
        each = length - 1 if asked is None else max(1, min(asked, length - 1))
        rows_T, columns_T = torch.empty((rows * each, 2), dtype=torch.int64).unbind(1)
        return rows_T, columns_T

    def _ids(self) -> torch.Tensor:
        size = (self._question.micro_batch_size, self._question.length_tokens)
        return torch.zeros(size, dtype=torch.int64)


def _state(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, torch.Tensor))
