"""Train a decoder on rows of token ids.  Axes: N rows, B rows of a step, L tokens."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from training_worker.pretraining.corpus import Rows
from training_worker.pretraining.halted import Halted
from training_worker.pretraining.settings import Settings

HELD_OUT_ROWS = 256
KEPT_ROWS, KEPT_TOKENS = 16, 160  # of them kept as text beside the model
_WARMUP_FRACTION = 0.02
_FINAL_FRACTION = 0.02  # of the peak rate, at the end of the cosine
_WEIGHT_DECAY = 0.1
_CLIP_NORM = 1.0
_KEEP_EVERY = 50  # steps, after which an interruption loses nothing
_REPORT_EVERY = 20  # steps, as reading a loss waits for the device

Progress = Callable[[int, float], None]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a pretraining ended with; losses are nats per token."""

    train_loss: float
    held_out_loss: float
    seconds: float
    tokens: int
    parameters: int


def build_model(settings: Settings, *, end_id: int, padding_id: int) -> Any:
    """Return an untrained decoder in the layout that is asked for, with tied embeddings."""
    torch.manual_seed(settings.seed)
    special: dict[str, Any] = {
        "bos_token_id": end_id,
        "eos_token_id": end_id,
        "pad_token_id": padding_id,
    }
    if settings.layout == "gpt2":
        return GPT2LMHeadModel(_gpt2_config(settings, special))
    config = LlamaConfig(
        vocab_size=settings.vocabulary,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.mlp_width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.key_value_heads,
        max_position_embeddings=settings.context_tokens,
        tie_word_embeddings=True,
        **special,
    )
    return LlamaForCausalLM(config)


def _gpt2_config(settings: Settings, special: dict[str, Any]) -> GPT2Config:
    return GPT2Config(
        vocab_size=settings.vocabulary,
        n_embd=settings.hidden_size,
        n_inner=settings.mlp_width,
        n_layer=settings.layers,
        n_head=settings.heads,
        n_positions=settings.context_tokens,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        **special,
    )


def train(model: Any, rows_NL: Rows, settings: Settings, *, report: Progress) -> Trained:
    """Train in place and return how it went.

    AdamW and a cosine after a short warm-up; the last rows of a shuffle are held out and never
    trained on. One that was interrupted goes on where it was, to the same end.
    """
    torch.set_num_threads(settings.threads)
    device, precision = device_of(settings), precision_of(settings)
    model = model.to(device).train()
    train_NL, held_out_NL = _split(rows_NL, settings.seed, device)
    step_model = torch.compile(model) if settings.compile else model
    optimizer = _optimizer(model, settings, device)
    halted = Halted(settings, rows_NL)
    done, seconds, loss = halted.resume(model, optimizer)
    started = time.perf_counter() - seconds
    for step, picked_B in enumerate(_batches(len(train_NL), settings)):
        if step < done:
            continue
        _set_rate(optimizer, settings, step)
        loss = _step(step_model, optimizer, train_NL[picked_B.to(device)], precision)
        if step % _REPORT_EVERY == 0 or step == settings.steps - 1:
            report(step + 1, float(loss))
        if (step + 1) % _KEEP_EVERY == 0:
            seconds = time.perf_counter() - started
            halted.keep(model, optimizer, step=step + 1, seconds=seconds, loss=loss)
    halted.forget()
    return Trained(
        train_loss=float(loss),
        held_out_loss=_evaluate(model, held_out_NL, precision),
        seconds=time.perf_counter() - started,
        tokens=settings.steps * settings.batch_sequences * settings.context_tokens,
        parameters=sum(weight.numel() for weight in model.parameters()),
    )


def device_of(settings: Settings) -> torch.device:
    """Return where a pretraining runs: by default on CUDA where there is any."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(found if settings.device == "auto" else settings.device)


def precision_of(settings: Settings) -> torch.dtype:
    """Return in what the matrix products of a pretraining are done."""
    wanted = settings.precision
    if wanted == "auto":
        wanted = "bf16" if device_of(settings).type == "cuda" else "fp32"
    return torch.bfloat16 if wanted == "bf16" else torch.float32


def held_out_rows(rows_NL: Rows, seed: int) -> list[list[int]]:
    """Return the start of some rows that are never trained on."""
    order_N = np.random.default_rng(seed).permutation(len(rows_NL))
    picked = order_N[-min(KEPT_ROWS, _held_out(len(rows_NL))) :]
    return [[int(token) for token in row] for row in rows_NL[picked, :KEPT_TOKENS]]


def _held_out(rows: int) -> int:
    return max(1, min(HELD_OUT_ROWS, rows // 50))


def _split(rows_NL: Rows, seed: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    order_N = np.random.default_rng(seed).permutation(len(rows_NL))
    held_out = _held_out(len(rows_NL))
    tensor = torch.from_numpy(
        rows_NL[order_N].astype(np.int16 if rows_NL.max() < 2**15 else np.int32)
    )
    tensor = tensor.to(device)
    return tensor[:-held_out], tensor[-held_out:]


def _batches(rows: int, settings: Settings) -> Iterator[torch.Tensor]:
    """Yield the row numbers of each step, a new shuffle for each pass."""
    generator = torch.Generator().manual_seed(settings.seed)
    left = torch.zeros(0, dtype=torch.long)
    for _ in range(settings.steps):
        while len(left) < settings.batch_sequences:
            left = torch.cat([left, torch.randperm(rows, generator=generator)])
        yield left[: settings.batch_sequences]
        left = left[settings.batch_sequences :]


def _optimizer(model: Any, settings: Settings, device: torch.device) -> torch.optim.AdamW:
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    kept = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": _WEIGHT_DECAY},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=device.type == "cuda"
    )


def _set_rate(optimizer: torch.optim.Optimizer, settings: Settings, step: int) -> None:
    warmup = max(1, round(settings.steps * _WARMUP_FRACTION))
    progress = max(0.0, (step - warmup) / max(1, settings.steps - warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    factor = min((step + 1) / warmup, _FINAL_FRACTION + (1 - _FINAL_FRACTION) * cosine)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor


def _step(
    model: Any, optimizer: torch.optim.Optimizer, batch_BL: torch.Tensor, precision: torch.dtype
) -> torch.Tensor:
    loss = _loss(model, batch_BL, precision)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def _loss(model: Any, batch_BL: torch.Tensor, precision: torch.dtype) -> torch.Tensor:
    ids_BL = batch_BL.long()
    is_mixed = precision != torch.float32
    with torch.autocast(ids_BL.device.type, torch.bfloat16, enabled=is_mixed):
        loss: torch.Tensor = model(input_ids=ids_BL, labels=ids_BL, use_cache=False).loss
    return loss


@torch.no_grad()
def _evaluate(model: Any, rows_NL: torch.Tensor, precision: torch.dtype) -> float:
    model.eval()
    losses = [float(_loss(model, batch, precision)) * len(batch) for batch in rows_NL.split(32)]
    return sum(losses) / len(rows_NL)
