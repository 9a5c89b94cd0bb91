"""From the recommender's answer to what the page shows of it."""

import json
from collections.abc import Sequence

from metadata.objectives import objective_of
from metadata.records import Configuration, DatasetProfile
from service import wording
from service.pages import charts, contexts, urls
from service.recommender.schemas import (
    Effect,
    EvidenceSummary,
    Exclusion,
    Interval,
    NearRun,
    RecommendationAnswer,
    RecommendationRequest,
    RecommendedConfiguration,
)

_LINE_END = 1.0  # the middling configuration stands at 1, so that every line shows it


def view_answer(
    answer: RecommendationAnswer,
    request: RecommendationRequest,
    dataset: DatasetProfile,
    *,
    can_train: bool,
) -> contexts.Answer:
    """Return everything the page says about one answer."""
    everything = [*answer.configurations, answer.default]
    largest = max([_LINE_END, *(option.quality.high for option in everything)])
    options = tuple(view_option(option, largest=largest) for option in answer.configurations)
    return contexts.Answer(
        id=answer.id,
        question=_question(request, dataset),
        headline=wording.headline(answer.configurations[0].configuration),
        sentence=wording.capitalised(wording.sentence(answer.configurations[0].configuration)),
        summary=_summary(answer.configurations[0]),
        best=options[0],
        options=options,
        default=view_option(answer.default, largest=largest),
        front=_front(answer),
        evidence=view_evidence(answer.evidence),
        excluded=tuple(_exclusion(exclusion) for exclusion in answer.excluded),
        knowledge_version=answer.knowledge_version,
        json_link=urls.recommendation_json(answer.id),
        can_train=can_train,
        model=request.base_model.id,
        file_id=request.dataset.file_id or "",
    )


def view_option(option: RecommendedConfiguration, *, largest: float) -> contexts.Option:
    """Return one configuration as the page shows it; `largest` ends its regret line."""
    configuration, quality = option.configuration, option.quality
    return contexts.Option(
        rank=option.rank,
        method=wording.capitalised(wording.method(configuration.method.name)),
        values=wording.method_values(configuration),
        targets=wording.targets(configuration),
        rate=wording.rate(configuration.optimizer.learning_rate),
        batch=str(configuration.batch_size),
        epochs=f"{configuration.epochs:.3g}",
        regret=wording.decimal(quality.expected_regret),
        bar=charts.interval_bar(
            quality.expected_regret, quality.low, quality.high, largest=largest
        ),
        beats_default=wording.percent(quality.beats_default_probability),
        time=wording.duration(option.train_seconds.expected),
        time_range=_range(option.train_seconds, wording.duration),
        memory=wording.size(option.peak_memory_bytes.expected),
        memory_range=_range(option.peak_memory_bytes, wording.size),
        cost=wording.money(option.cost_usd),
        trainable=wording.quantity(option.trainable_parameters),
        fits=option.fits,
        pareto=option.pareto,
        source=wording.source(option.why.source),
        effects=_effects(option.why.effects),
        nearest=tuple(_near(run) for run in option.why.nearest_runs),
        groups=(configuration_group(configuration), _plan(option)),
        json=json.dumps(configuration.model_dump(mode="json"), indent=2),
    )


def _front(answer: RecommendationAnswer) -> tuple[contexts.FrontLine, ...]:
    return tuple(
        contexts.FrontLine(
            rank=str(point.rank or ""),
            sentence=wording.capitalised(wording.sentence(point.configuration)),
            regret=wording.decimal(point.expected_regret),
            time=wording.duration(point.train_seconds.expected),
            memory=wording.size(point.peak_memory_bytes.expected),
            cost=wording.money(point.cost_usd),
        )
        for point in answer.front
    )


def view_evidence(evidence: EvidenceSummary) -> contexts.Evidence:
    """Say how far the question is from what is known."""
    return contexts.Evidence(
        in_distribution=evidence.in_distribution,
        headline=wording.evidence_headline(evidence),
        runs=f"{evidence.runs:,}",
        tasks=f"{evidence.tasks:,}",
        distance=wording.decimal(evidence.distance, 1),
        farthest=tuple(wording.feature(name) for name in evidence.farthest),
        advice=evidence.advice,
    )


def configuration_group(configuration: Configuration) -> contexts.Group:
    """Return every value of a configuration."""
    c = configuration
    optimizer, schedule = c.optimizer, c.schedule
    return contexts.group(
        "Configuration",
        [
            ("Method", wording.method(c.method.name)),
            *(
                (wording.value_name(k), wording.scalar(v))
                for k, v in wording.ordered_values(c).items()
            ),
            ("Layers", wording.targets(c)),
            ("Optimizer", wording.optimizer(optimizer.name)),
            ("Learning rate", wording.rate(optimizer.learning_rate)),
            ("Weight decay", wording.scalar(optimizer.weight_decay)),
            *((wording.value_name(k), wording.scalar(v)) for k, v in optimizer.values.items()),
            ("Schedule", wording.schedule(schedule.name)),
            ("Warm-up", f"{100 * schedule.warmup_fraction:.3g} % of the steps"),
            *((wording.value_name(k), wording.scalar(v)) for k, v in schedule.values.items()),
            ("Examples per step", str(c.batch_size)),
            ("Epochs", f"{c.epochs:.3g}"),
            ("Longest example", f"{c.max_length_tokens:,} tokens"),
            ("Loss on", "the completion" if c.loss_on == "completion" else "everything"),
            ("Precision", c.precision),
            ("Quantization", c.quantization),
            ("Gradient checkpointing", wording.scalar(c.gradient_checkpointing)),
            ("Packing", wording.scalar(c.packing)),
            ("Attention", c.attention),
            ("Checkpoint kept", c.keep),
            ("Seed", str(c.seed)),
        ],
    )


def _question(request: RecommendationRequest, dataset: DatasetProfile) -> tuple[contexts.Row, ...]:
    hardware, budget = request.hardware, request.budget
    memory = f", {hardware.memory_gib:g} GiB each" if hardware.memory_gib else ""
    many = "" if hardware.count == 1 else f"{hardware.count} {wording.TIMES} "
    limits = [
        f"{budget.train_minutes:g} min" if budget.train_minutes else "",
        f"{budget.memory_gib:g} GiB" if budget.memory_gib else "",
        wording.money(budget.usd) if budget.usd else "",
    ]
    return contexts.rows(
        ("Model", request.base_model.id),
        ("Data", f"{dataset.name}, {dataset.examples:,} examples"),
        ("Device", f"{many}{hardware.device}{memory}"),
        ("Budget", ", ".join(limit for limit in limits if limit) or "no limit"),
        ("Goal", wording.objective(request.objective)),
        ("Trained with", wording.training(objective_of(dataset.kind))),
        ("Result for", wording.loader(request.serve_with)),
    )


def _summary(option: RecommendedConfiguration) -> str:
    cost = "" if option.cost_usd is None else f" and {wording.money(option.cost_usd)}"
    return (
        f"About {wording.duration(option.train_seconds.expected)}{cost}, "
        f"{wording.size(option.peak_memory_bytes.expected)} of memory at its peak, "
        f"{wording.quantity(option.trainable_parameters)} trained weights. "
        f"Better than the usual default with "
        f"{wording.percent(option.quality.beats_default_probability)} probability."
    )


def _plan(option: RecommendedConfiguration) -> contexts.Group:
    return contexts.group(
        "On your device",
        [
            ("Optimizer steps", f"{option.steps:,}"),
            ("Micro-batch", str(option.micro_batch_size)),
            ("Micro-batches a step", str(option.accumulation_steps)),
            ("Trained weights", f"{option.trainable_parameters:,}"),
            ("Time", _range(option.train_seconds, wording.duration)),
            ("Peak memory", _range(option.peak_memory_bytes, wording.size)),
            ("Cost", "" if option.cost_usd is None else wording.money(option.cost_usd)),
        ],
    )


def _range(interval: Interval, words: wording.Words) -> str:
    low, high = words(interval.low), words(interval.high)
    return low if low == high else f"{low} to {high}"


def _effects(effects: Sequence[Effect]) -> tuple[contexts.Effect, ...]:
    largest = max((abs(effect.regret_change) for effect in effects), default=0.0)
    return tuple(
        contexts.Effect(
            words=wording.effect(effect),
            change=wording.change(effect.regret_change),
            bar=charts.effect_bar(effect.regret_change, largest=largest),
        )
        for effect in effects
    )


def _near(run: NearRun) -> contexts.NearRun:
    return contexts.NearRun(
        dataset=run.dataset,
        model=run.model,
        regret=wording.decimal(run.regret),
        score=wording.decimal(run.score, 3),
        distance=wording.decimal(run.distance, 1),
        link=urls.run(run.run_id),
    )


def _exclusion(exclusion: Exclusion) -> contexts.Row:
    return contexts.Row(name=f"{exclusion.rule} ({exclusion.count:,})", value=exclusion.next_step)
