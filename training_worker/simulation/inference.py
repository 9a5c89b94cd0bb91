"""What evaluation and generation hold and do: forward passes alone, on fakes."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from metadata.errors import InvalidRequest
from metadata.simulated import Peak, bytes_moved_by, count_of, flops_of
from training_worker.simulation.question import LONGEST_TOKENS, Question
from training_worker.simulation.recorder import Recorder
from training_worker.simulation.simulate import on_fakes
from training_worker.simulation.stand_ins import stand_in_of

PROMPTS = "in generation, tokens of the method's own stand before each text as if they were text"


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One forward pass: its peak, and what it computes and moves."""

    peak: Peak
    flops: int
    bytes_moved: int
    operations: int

    def told(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self) | {"peak": self.peak.model_dump(mode="json")}


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Passes without gradients: one on whole texts, and with a cache on prompts and by token.

    `cache_bytes` are those of keys and values at the last token.
    """

    evaluation: Pass
    prompt: Pass
    last_token: Pass
    cache_bytes: int
    notes: tuple[str, ...]

    def told(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        passes = {
            "evaluation": self.evaluation,
            "prompt": self.prompt,
            "last_token": self.last_token,
        }
        told: dict[str, Any] = {name: one.told() for name, one in passes.items()}
        return told | {"cache_bytes": self.cache_bytes, "notes": list(self.notes)}


def simulate_inference(question: Question, *, new_tokens: int) -> Inference:
    """Return what a pass on the question's micro-batch needs, and generating so many tokens.

    Raises:
        InvalidRequest: The model is none that can be simulated, or the tokens are out of range.
        InvalidConfiguration: The method does not go with the model.
    """
    if not 1 <= new_tokens <= LONGEST_TOKENS:
        raise InvalidRequest(
            f"new_tokens must lie between 1 and {LONGEST_TOKENS:,}, got {new_tokens:,}.",
            param="new_tokens",
        )
    with on_fakes(question) as (model, vocabulary), torch.no_grad():
        return _Passes(model.eval(), question, vocabulary).on(new_tokens)


class _Passes:
    def __init__(self, model: nn.Module, question: Question, vocabulary: int) -> None:
        self._model, self._question = model, question
        self._recorder = Recorder(vocabulary=vocabulary)

    def on(self, new_tokens: int) -> Inference:
        question, recorder = self._question, self._recorder
        stand_in = stand_in_of(question)
        length = question.length_tokens
        with recorder:
            recorder.add(stand_in.on_device(self._model, question.adapter or {})[0])
            held = recorder.live_bytes
            evaluation = self._pass(self._model, length, use_cache=False)[0]
            model, virtual = _without_prompts(self._model)
            prompt, cache = self._pass(model, length + virtual, last_only=True)
            seen = length + virtual
            if new_tokens > 1:
                seen += new_tokens - 1
                _, cache = self._pass(model, new_tokens - 1, cache=cache, seen=seen)
            last, cache = self._pass(model, 1, cache=cache, seen=seen + 1, last_only=True)
            cache_bytes = recorder.live_bytes - held
        notes = (*stand_in.notes, *((PROMPTS,) if virtual else ()))
        return Inference(
            evaluation=evaluation,
            prompt=prompt,
            last_token=last,
            cache_bytes=cache_bytes,
            notes=notes,
        )

    def _pass(
        self,
        model: Any,
        tokens: int,
        *,
        use_cache: bool = True,
        last_only: bool = False,
        cache: Any = None,
        seen: int | None = None,
    ) -> tuple[Pass, Any]:
        """Return what a pass on so many tokens needs, and the cache after it."""
        recorder, rows = self._recorder, self._question.micro_batch_size
        recorder.forget()
        recorder.enter("forward")
        output = model(
            input_ids=torch.zeros((rows, tokens), dtype=torch.int64),
            attention_mask=torch.ones((rows, seen or tokens), dtype=torch.int64),
            use_cache=use_cache,
            **({"past_key_values": cache} if cache is not None else {}),
            **({"logits_to_keep": 1} if last_only else {}),
        )
        kept = output.past_key_values if use_cache else None
        del output
        operations = recorder.operations
        return Pass(
            peak=recorder.peaks["forward"],
            flops=flops_of(operations),
            bytes_moved=bytes_moved_by(operations),
            operations=count_of(operations),
        ), kept


def _without_prompts(model: Any) -> tuple[Any, int]:
    """Return what runs on text alone, and how many learnt tokens would stand before it."""
    config = getattr(model, "active_peft_config", None)
    if config is None or not config.is_prompt_learning:
        return model, 0
    return model.get_base_model(), int(config.num_virtual_tokens)
