import gc

import pytest

from metadata.collecting import uncollected


def test_inside_nothing_is_collected_and_an_inner_one_leaves_it_so() -> None:
    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()

    assert gc.isenabled()


def test_after_an_error_all_is_collected_again() -> None:
    with pytest.raises(ValueError, match="bad"), uncollected():
        raise ValueError("bad")

    assert gc.isenabled()
