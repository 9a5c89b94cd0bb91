"""The loss of a model on all of the data, from a few training sizes."""

import pytest

from metadata.model_outlook import Observed, outlook, published_shape
from metadata.rectified_law import RectifiedLaw

EXPONENT, LOG_TRANSITION = published_shape().mean
LAW = RectifiedLaw(scale=20.0, transition_examples=60_000, exponent=EXPONENT, floor=0.4, error=0)


def seen(*sizes: int, law: RectifiedLaw = LAW) -> list[Observed]:
    return [Observed(examples=size, loss=law.loss(size)) for size in sizes]


def test_sizes_that_follow_a_law_of_the_published_shape_tell_the_rest() -> None:
    said = outlook(seen(1_000, 10_000, 50_000), examples=500_000)

    assert said.basis == "law"
    assert said.loss == pytest.approx(LAW.loss(500_000), rel=0.1)
    assert said.low < LAW.loss(500_000) < said.high


def test_many_sizes_overrule_the_published_shape() -> None:
    steep = RectifiedLaw(scale=2e4, transition_examples=500, exponent=1.1, floor=0.2, error=0)
    sizes = [10**k for k in range(1, 6)] + [3 * 10**k for k in range(1, 5)]

    said = outlook(seen(*sizes, law=steep), examples=10**6)

    assert said.law is not None
    assert said.law.exponent > 2 * EXPONENT


def test_one_size_is_taken_as_it_is_and_can_only_fall() -> None:
    said = outlook(seen(1_000), examples=100_000)

    assert (said.basis, said.law) == ("one_size", None)
    assert said.loss == LAW.loss(1_000)
    assert said.high - said.loss < said.loss - said.low


def test_of_several_runs_at_a_size_the_best_counts() -> None:
    worse = [Observed(examples=one.examples, loss=2 * one.loss) for one in seen(500, 5_000)]

    assert outlook([*seen(500, 5_000), *worse], examples=9_000) == outlook(
        seen(500, 5_000), examples=9_000
    )


def test_the_further_ahead_the_wider() -> None:
    near, far = (outlook(seen(500, 5_000), examples=ahead) for ahead in (6_000, 600_000))

    assert far.high / far.low > 2 * near.high / near.low


def observed(*losses: float) -> list[Observed]:
    return [Observed(examples=40 * 2**n, loss=loss) for n, loss in enumerate(losses)]


@pytest.mark.parametrize("losses", [(1.0, 1.5, 2.5), (3.0, 1.0, 2.0), (1.0, 1.5)])
def test_losses_that_rise_are_taken_at_the_largest_size(losses: tuple[float, ...]) -> None:
    said = outlook(observed(*losses), examples=1_600)

    assert (said.basis, said.law, said.loss) == ("largest_size", None, losses[-1])
    assert said.low < min(losses) < max(losses) < said.high


def test_losses_that_fall_faster_than_the_shape_keep_a_law_with_a_wide_interval() -> None:
    said = outlook(observed(1.0, 0.7, 0.4), examples=160)

    assert said.law is not None
    assert said.law.error > 0.1
    assert said.low < 0.4 < said.high


def test_the_worse_the_law_fits_the_wider() -> None:
    good, bad = (outlook(observed(1.0, loss, 0.9), examples=160) for loss in (0.95, 1.05))

    assert good.law is not None
    assert bad.law is not None
    assert good.law.error < bad.law.error
    assert bad.high / bad.low > 1.05 * good.high / good.low


def test_nothing_seen_has_no_outlook() -> None:
    with pytest.raises(ValueError, match="at least"):
        outlook([], examples=10)
