"""Figures of classifiers: what other methods, more examples and other ranks are worth."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from published_sources import Source, find_source, grouped, table

from metadata.published import Figure

MODELS = {  # family, parameters: as the makers count them
    "bert-base-uncased": ("bert", 109_482_240),
    "roberta-base": ("roberta", 124_645_632),
    "FacebookAI/xlm-roberta-base": ("xlm-roberta", 278_043_648),
    "Qwen/Qwen3-0.6B": ("qwen3", 596_049_920),
}
BASE_RANK = 8
Row = dict[str, str]


def rank_figures(runs: Path) -> Iterator[Figure]:
    """Yield what rank and examples are worth on GLUE, LoRA on two encoders."""
    source = find_source(runs, "glue_lora_rank_scaling/results.csv", file="data/results.csv")
    rows = table(source.folder)
    for (examples,), found in _by_number(rows, "n"):
        for (rank,), tried in _by_number(found, "rank"):
            if rank != BASE_RANK:
                base = [row for row in found if int(row["rank"]) == BASE_RANK]
                yield _rank_difference(source, tried, base, rank=rank, examples=examples)
    for (model, task), found in grouped(rows, "model", "task"):
        yield from _gains(
            source,
            found,
            size="n",
            paired=("rank", "seed"),
            over="rank",
            method="lora",
            task=task,
            condition="ranks 2 to 64, five seeds; 10, 5 or 3 epochs as examples grow",
            **_model(model),
        )


def _rank_difference(
    source: Source, tried: Sequence[Row], base: Sequence[Row], *, rank: int, examples: int
) -> Figure:
    keys = ("model", "task", "seed")
    differences = _differences(tried, base, *keys)
    per_task = _means(tried, differences, "model", "task")
    return source.mean(
        "rank_accuracy_difference",
        per_task,
        over="models and tasks",
        method="lora",
        rank=rank,
        examples=examples,
        task="GLUE: mrpc, qnli, rte",
        condition="bert-base-uncased on three tasks, roberta-base on two; five seeds",
        reference=f"lora r={BASE_RANK}",
        runs=len(tried),
    )


def architecture_figures(runs: Path) -> Iterator[Figure]:
    """Yield IA3 and BitFit beside LoRA on few examples of GLUE."""
    source = find_source(runs, "glue_arch_peft/results.csv", file="data/results.csv")
    rows = table(source.folder)
    for (model, method), found in grouped(rows, "model_id", "method"):
        if method != "lora":
            lora = [row for row in rows if (row["model_id"], row["method"]) == (model, "lora")]
            yield from _beside_lora(
                source,
                found,
                lora,
                size="sample_size",
                over="task",
                method=method,
                task="GLUE: " + ", ".join(sorted({row["task"] for row in found})),
                condition="rate 2e-4 for every method, 10 epochs, batches of 16; three seeds",
                reference="lora r=8 on queries and values",
                **_model(model),
            )


def indic_figures(runs: Path) -> Iterator[Figure]:
    """Yield DoRA and IA3 beside LoRA on Hindi inference: accuracy, time, memory, growth."""
    source = find_source(
        runs, "indic_peft/experiment_results.csv", file="results/experiment_results.csv"
    )
    rows = table(source.folder)
    for (method, rate), found in grouped(rows, "method", "lr"):
        columns = _model("FacebookAI/xlm-roberta-base") | {
            "method": method,
            "task": "IndicXNLI, Hindi",
            "condition": f"rate {float(rate):g} of the source's own search, 10 to 3 epochs",
        }
        yield from _gains(source, found, size="budget", paired=("seed",), over="seed", **columns)
        if method == "lora":
            continue
        lora = [row for row in rows if row["method"] == "lora"]
        reference = f"lora at rate {float(lora[0]['lr']):g}"
        yield from _beside_lora(
            source, found, lora, size="budget", over="seed", reference=reference, **columns
        )
        for name, key in (
            ("step_time_ratio", "training_time_sec"),
            ("peak_memory_ratio", "peak_gpu_memory_gb"),
        ):
            ratios = _ratios(found, lora, key)
            yield source.mean(
                name, ratios, over="examples", reference=reference, runs=len(found), **columns
            )


def _beside_lora(
    source: Source,
    found: Sequence[Row],
    lora: Sequence[Row],
    *,
    size: str,
    over: str,
    **columns: Any,
) -> Iterator[Figure]:
    for (examples,), tried in _by_number(found, size):
        base = [row for row in lora if int(row[size]) == examples]
        differences = _differences(tried, base, *_keys(over))
        means = _means(tried, differences, over)
        yield source.mean(
            "accuracy_difference",
            means,
            over=f"{over}s",
            examples=examples,
            runs=len(tried),
            **columns,
        )


def _keys(over: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((over, "seed")))


def _gains(
    source: Source,
    found: Sequence[Row],
    *,
    size: str,
    paired: tuple[str, ...],
    over: str,
    **columns: Any,
) -> Iterator[Figure]:
    (fewest,), base = next(_by_number(found, size))
    for (examples,), tried in _by_number(found, size):
        if examples != fewest:
            means = _means(tried, _differences(tried, base, *paired), over)
            yield source.mean(
                "accuracy_gain",
                means,
                over=f"{over}s",
                examples=examples,
                reference=f"{fewest} examples",
                runs=len(tried),
                **columns,
            )


def _differences(tried: Sequence[Row], base: Sequence[Row], *keys: str) -> list[float]:
    """Return the accuracy of each row minus that of the row of the base with the same keys."""
    at_base = {tuple(row[key] for key in keys): float(row["accuracy"]) for row in base}
    return [float(row["accuracy"]) - at_base[tuple(row[key] for key in keys)] for row in tried]


def _means(rows: Sequence[Row], values: Sequence[float], *keys: str) -> list[float]:
    """Return the mean of the values of rows that agree in some columns."""
    valued = [row | {"value": value} for row, value in zip(rows, values, strict=True)]
    return [fmean(row["value"] for row in found) for _, found in grouped(valued, *keys)]


def _ratios(found: Sequence[Row], lora: Sequence[Row], key: str) -> list[float]:
    """Return one ratio for each number of examples; seeds share it."""
    base = {
        size: fmean(float(row[key]) for row in rows) for (size,), rows in grouped(lora, "budget")
    }
    return [
        fmean(float(row[key]) for row in rows) / base[size]
        for (size,), rows in grouped(found, "budget")
    ]


def _by_number(rows: Sequence[Row], key: str) -> Iterator[tuple[tuple[int], list[Row]]]:
    for (number,), found in sorted(grouped(rows, key), key=lambda group: int(group[0][0])):
        yield (int(number),), found


def _model(name: str) -> dict[str, Any]:
    family, parameters = MODELS[name]
    return {"model": name, "family": family, "parameters": parameters}
