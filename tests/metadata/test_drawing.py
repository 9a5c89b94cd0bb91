import numpy as np
import pytest

from metadata.drawing import draw
from metadata.features.model import find_model
from metadata.space import build_space


def test_what_is_drawn_is_what_the_space_itself_says() -> None:
    space = build_space(find_model("meta-llama/Llama-3.2-3B"))
    seed = int(np.random.default_rng(5).integers(2**31))

    drawn = draw(space, 300, np.random.default_rng(5))

    space.seed(seed)
    for ours, own in zip(drawn, space.sample_configuration(300), strict=True):
        expected = dict(own)
        assert ours.keys() == expected.keys()
        for name, value in ours.items():
            assert value == (
                pytest.approx(expected[name]) if isinstance(value, float) else expected[name]
            )
