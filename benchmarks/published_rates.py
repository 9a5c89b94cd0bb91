"""Figures of the tinker cookbook's sweep: the best rate of LoRA by model and rank."""

from collections.abc import Iterator, Sequence
from math import isfinite, log
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from published_sources import Source, ends_of, find_source, grouped, table

from metadata.published import Figure

# Family as the name says it, parameters as the maker does, width as config.json does; no width
# where it is not certain.
MODELS: dict[str, tuple[str, float, int | None]] = {
    "deepseek-ai/DeepSeek-V3.1-Base": ("deepseek-v3", 671e9, 7168),
    "meta-llama/Llama-3.1-8B-Instruct": ("llama", 8.03e9, 4096),
    "meta-llama/Llama-3.2-1B": ("llama", 1.24e9, 2048),
    "meta-llama/Llama-3.3-70B-Instruct": ("llama", 70.6e9, 8192),
    "moonshotai/Kimi-K2-Thinking": ("kimi-k2", 1e12, 7168),
    "moonshotai/Kimi-K2.6": ("kimi-k2", 1e12, 7168),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": ("nemotron-3", 30e9, None),
    "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16": ("nemotron-3", 120e9, None),
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": ("nemotron-3", 550e9, None),
    "openai/gpt-oss-20b": ("gpt-oss", 20.9e9, 2880),
    "Qwen/Qwen3-4B-Instruct-2507": ("qwen3", 4.02e9, 2560),
    "Qwen/Qwen3-8B": ("qwen3", 8.19e9, 4096),
    "Qwen/Qwen3-8B-Base": ("qwen3", 8.19e9, 4096),
    "Qwen/Qwen3-30B-A3B-Instruct-2507": ("qwen3", 30.5e9, 2048),
    "Qwen/Qwen3-235B-A22B-Instruct-2507": ("qwen3", 235e9, 4096),
    "Qwen/Qwen3-VL-30B-A3B-Instruct": ("qwen3", 30.5e9, 2048),
    "Qwen/Qwen3.5-4B": ("qwen3.5", 4e9, None),
    "Qwen/Qwen3.5-9B-Base": ("qwen3.5", 9e9, None),
    "Qwen/Qwen3.5-27B": ("qwen3.5", 27e9, None),
    "Qwen/Qwen3.5-397B-A17B": ("qwen3.5", 397e9, None),
    "Qwen/Qwen3.6-27B": ("qwen3.6", 27e9, None),
}
LEAST_RATES = 3  # completed ones, else a best says little
EXAMPLES = 128 * 780
CONDITION = "batches of 128, 780 steps, test loss"
Losses = dict[float, float]  # of each rate, rising; infinite where a run diverged


def rate_figures(runs: Path) -> Iterator[Figure]:
    """Yield the figures of every model of the sweep, and the rate that diverged.

    Rows that stand for several pairs of rate and rank, not told apart by the source, are left out.
    """
    source = find_source(
        runs,
        "tinker_sft_sweep",
        file="tinker_cookbook/recipes/chat_sl/results/sft_sweep.md",
    )
    rows = [row for row in table(source.folder / "sft_sweep.csv") if "," not in row["lora_rank"]]
    for (model,), of_model in grouped(rows, "model"):
        tried = {int(rank): _losses(found) for (rank,), found in grouped(of_model, "lora_rank")}
        by_rank = {rank: tried[rank] for rank in sorted(tried) if _says_enough(tried[rank])}
        if by_rank:
            yield from _of_model(source, model, by_rank, _counts(of_model))
    yield _diverged(source, rows)


def _says_enough(losses: Losses) -> bool:
    return sum(isfinite(loss) for loss in losses.values()) >= LEAST_RATES


def _losses(rows: Sequence[dict[str, str]]) -> Losses:
    found = {
        float(rate): fmean(float(row["test_nll"] or "inf") for row in repeats)
        for (rate,), repeats in grouped(rows, "learning_rate")
    }
    return dict(sorted(found.items()))


def _counts(rows: Sequence[dict[str, str]]) -> dict[int, int]:
    return {int(rank): len(found) for (rank,), found in grouped(rows, "lora_rank")}


def _of_model(
    source: Source, model: str, by_rank: dict[int, Losses], counts: dict[int, int]
) -> Iterator[Figure]:
    family, parameters, hidden_size = MODELS[model]
    columns: dict[str, Any] = {
        "method": "lora",
        "model": model,
        "family": family,
        "parameters": int(parameters),
        "hidden_size": hidden_size,
        "examples": EXAMPLES,
        "task": "tulu3",
        "condition": CONDITION,
    }
    for rank, losses in by_rank.items():
        yield _best_rate(source, losses, rank=rank, runs=counts[rank], **columns)
    yield from _flatness(source, by_rank, counts, **columns)
    yield from _of_ranks(source, by_rank, counts, **columns)


def _diverged(source: Source, rows: Sequence[dict[str, str]]) -> Figure:
    """Return the lowest rate that diverged, on any model at any rank."""
    diverged = [row for row in rows if row["status"] == "diverged"]
    models = len({row["model"] for row in diverged})
    rates = [float(row["learning_rate"]) for row in diverged]
    return source.figure(
        "diverged_rate",
        min(rates),
        ends=ends_of(rates),
        over="ranks and models",
        method="lora",
        examples=EXAMPLES,
        task="tulu3",
        condition=f"{CONDITION}; of {models} models, at ranks 1 to 128",
        runs=len(diverged),
    )


def _best(losses: Losses) -> float:
    return min(losses, key=lambda rate: losses[rate])


def _best_rate(source: Source, losses: Losses, **columns: Any) -> Figure:
    """Return the best rate tried; its range ends at the rates tried beside it, where there are."""
    rates, best = list(losses), _best(losses)
    at = rates.index(best)
    below = rates[at - 1] if at > 0 else None
    above = rates[at + 1] if at + 1 < len(rates) else None
    return source.figure(
        "best_rate", best, ends=(below, above), over="rates tried beside it", **columns
    )


def _flatness(
    source: Source, by_rank: dict[int, Losses], counts: dict[int, int], **columns: Any
) -> Iterator[Figure]:
    for name, factor in (("loss_at_third_rate", 1 / 3), ("loss_at_triple_rate", 3.0)):
        lost = {rank: _lost(losses, factor) for rank, losses in by_rank.items()}
        known = {rank: value for rank, value in lost.items() if value is not None}
        if known:
            yield source.mean(
                name,
                list(known.values()),
                over="ranks " + " ".join(map(str, known)),
                runs=sum(counts[rank] for rank in known),
                **columns,
            )


def _lost(losses: Losses, factor: float) -> float | None:
    """Return nats lost at a multiple of the best rate, linear in its logarithm between rates.

    None where the rates tried do not reach that far, or diverged on the way.
    """
    best = _best(losses)
    rates, wanted = [rate for rate in losses if isfinite(losses[rate])], best * factor
    if not rates[0] <= wanted <= rates[-1]:
        return None
    logs = [log(rate) for rate in rates]
    return float(np.interp(log(wanted), logs, [losses[rate] for rate in rates])) - losses[best]


def _of_ranks(
    source: Source, by_rank: dict[int, Losses], counts: dict[int, int], **columns: Any
) -> Iterator[Figure]:
    least = {rank: min(losses.values()) for rank, losses in by_rank.items()}
    largest = max(least)
    for rank in least:
        if rank != largest:
            yield source.figure(
                "loss_of_rank",
                least[rank] - least[largest],
                rank=rank,
                reference=f"lora r={largest}",
                runs=counts[rank] + counts[largest],
                **columns,
            )
