"""Far from all own runs: published results, and how far each is believed."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from metadata.arrays import Floats
from metadata.contests import Contest, Entry, contests
from metadata.priors import LARGE_PARAMETERS, PUBLISHED_RATE, lora_rate, usual_rate, width_rule_rate
from metadata.published import published
from metadata.records import Configuration, Task
from metadata.space import default_configuration, usual_configurations
from metadata.surrogates.far import Far, describe_entries, restore_far, weigh_published
from metadata.surrogates.prior import Prior, fit_prior
from metadata.surrogates.quality import fit, restore
from metadata.surrogates.spec import Described, gather
from metadata.surrogates.transfer import Quality
from metadata.table import build_table

OWN = "thinking-machines-lab/tinker-cookbook"


@pytest.fixture(scope="module")
def prior() -> Prior:
    return fit_prior(contests())


@pytest.fixture(scope="module")
def quality(world: ModuleType) -> Quality:
    return fit(build_table(world.make_runs(datasets=10, extras=4)), 0)


@pytest.fixture(scope="module")
def huge(world: ModuleType) -> Task:
    """A task whose model is a thousand times larger than any that was run."""
    task: Task = world.make_task(3, 60)
    large = {"id": "huge", "parameters": 3_000_000_000, "hidden_size": 3072, "layers": 28}
    return task.model_copy(update={"model": task.model.model_copy(update=large)})


def test_a_contest_is_of_one_source_and_its_best_has_no_regret() -> None:
    found = contests()

    assert len({one.source for one in found}) >= 5
    assert {one.about for one in found} == {"methods", "ranks", "rates"}
    for one in found:
        assert one.regret_C.min() == 0
        assert one.regret_C.max() > 0
        assert len(set(one.entries)) == len(one.entries) >= 3


def test_losses_are_told_in_units_of_their_own_source() -> None:
    usual = [
        np.median(np.concatenate([one.regret_C[one.regret_C > 0] for one in found]))
        for found in ([one for one in contests() if one.source == source] for source in _sources())
    ]

    assert usual == pytest.approx(np.ones(len(usual)))


def _sources() -> list[str]:
    return sorted({one.source for one in contests()})


def test_the_published_rate_is_the_median_of_the_best_rates_and_holds_for_large_models(
    huge: Task,
) -> None:
    small = huge.model.model_copy(update={"parameters": LARGE_PARAMETERS - 1, "hidden_size": 768})

    assert np.median([one.value for one in published("best_rate")]) == PUBLISHED_RATE
    assert lora_rate(huge.model) == PUBLISHED_RATE
    assert lora_rate(small) == width_rule_rate(small)


def test_far_off_rates_small_ranks_and_weak_methods_are_expected_to_lose(prior: Prior) -> None:
    def regret(**changes: object) -> float:
        entry = Entry(**({"rank": 16} | changes))  # type: ignore[arg-type]
        return float(prior.regret(describe_entries((entry,)).reference_CF)[0])

    usual = regret()
    assert regret(log2_rate_ratio=-3.2) > usual < regret(log2_rate_ratio=3.2)
    assert regret(rank=1) > usual
    assert regret(method="prompt_tuning", rank=None) > usual
    assert regret(method="fourierft", rank=None) > regret(method="dora", rank=16)


def test_other_layers_and_batches_only_tell_apart_what_else_is_equal(
    prior: Prior, huge: Task
) -> None:
    def regret(one: Configuration) -> float:
        return float(prior.regret(gather(huge, [one]).reference_CF)[0])

    usual = usual_configurations("lora", huge)[0]
    changed = usual.model_copy(update={"target_modules": "qv", "batch_size": 32})

    assert usual.target_modules == "all-linear"
    assert 0 < regret(changed) - regret(usual) < 0.25


def test_an_optimizer_or_a_scale_that_nobody_published_is_expected_to_lose(
    prior: Prior, huge: Task
) -> None:
    usual = usual_configurations("lora", huge)[0]

    def regret(name: str = "adamw", **values: float) -> float:
        one = usual.model_copy(
            update={
                "method": usual.method.model_copy(update=values),
                "optimizer": usual.optimizer.model_copy(
                    update={"name": name, "learning_rate": usual_rate("lora", name, huge.model)}
                ),
            }
        )
        return float(prior.regret(gather(huge, [one]).reference_CF)[0])

    assert regret() == regret("adamw_8bit") < regret("lion") == regret("mezo")
    # Both alphas that published rates were found with, 32 and twice the rank, are as usual.
    assert regret(r=128, lora_alpha=32) == regret(r=128, lora_alpha=256) < regret()
    assert regret(r=128, lora_alpha=1) > regret(r=128, lora_alpha=8) > regret(r=128, lora_alpha=32)


def test_what_sources_left_out_lose_in_the_middle_is_expected_of_them(
    quality: Quality, prior: Prior
) -> None:
    assert quality.far is not None
    far, known = quality.far, contests()
    missed = []
    for one in known:
        others = fit_prior([other for other in known if other.source != one.source])
        said_C = others.regret(describe_entries(one.entries).reference_CF)
        missed.append(one.regret_C - said_C)

    assert np.median(np.concatenate(missed)) == pytest.approx(far.middle)
    assert far.tails[0] == pytest.approx(-far.tails[1])


def test_who_orders_published_results_has_the_say_and_who_reverses_them_has_none(
    prior: Prior,
) -> None:
    def knows(candidates: Described) -> Floats:
        return prior.regret(candidates.reference_CF)

    def reverses(candidates: Described) -> Floats:
        return -knows(candidates)

    knowing, reversing = weigh_published(knows), weigh_published(reverses)

    assert knowing.own > 0
    assert reversing.own == 0
    assert set(knowing.taus) == set(_sources())
    assert knowing.taus[OWN][0] == pytest.approx(-reversing.taus[OWN][0])


def test_a_source_is_ordered_by_the_others_alone() -> None:
    """What one source says of ranks must not help to order its own ranks."""
    entries = tuple(Entry(rank=rank) for rank in (1, 8, 64))
    falls, rises = np.array([2.0, 1.0, 0.0]), np.array([0.0, 1.0, 2.0])
    known = [
        Contest(source="one", about="ranks", entries=entries, regret_C=falls),
        Contest(source="other", about="ranks", entries=entries, regret_C=rises),
    ]

    found = weigh_published(lambda candidates: np.zeros(len(candidates.keys)), known)

    assert found.taus == {"one": (0.0, -1.0), "other": (0.0, -1.0)}
    assert found.own == 0


def test_far_away_published_results_answer_and_near_by_own_runs_do(
    quality: Quality, huge: Task, world: ModuleType
) -> None:
    assert quality.far is not None
    near: Task = world.make_task(31, 60)
    silent = replace(quality, far=replace(quality.far, own=0.0))
    deaf = replace(quality, far=None)

    def of(task: Task) -> Described:
        return gather(task, [default_configuration(task), *usual_configurations("dora", task)])

    prior_C = quality.far.regret(of(huge).reference_CF)
    assert silent.look(of(huge)).expected == pytest.approx(prior_C)
    assert silent.look(of(near)).expected == pytest.approx(deaf.look(of(near)).expected)
    assert not np.isclose(deaf.look(of(huge)).expected, prior_C).any()


def test_what_is_believed_far_away_is_kept(quality: Quality) -> None:
    assert quality.far is not None

    kept = restore(quality.state()).far

    assert kept == quality.far
    assert isinstance(restore_far(quality.far.state()), Far)
