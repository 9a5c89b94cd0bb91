import pytest

from metadata.errors import Conflict
from service.jobs.states import FINAL, JOB_STATES, MOVES, after


def test_the_states_without_a_move_are_the_three_ends() -> None:
    assert {"succeeded", "failed", "cancelled"} == FINAL


def test_every_state_is_reached_by_some_move() -> None:
    assert set(MOVES.values()) == set(JOB_STATES)


def test_a_move_leads_to_the_state_of_the_table() -> None:
    assert after("queued", "start") == "running"


@pytest.mark.parametrize("state", sorted(FINAL))
def test_an_end_is_final(state: str) -> None:
    with pytest.raises(Conflict, match=f"{state} cannot cancel"):
        after(state, "cancel")


def test_a_refused_move_says_what_is_possible() -> None:
    with pytest.raises(
        Conflict, match="queued cannot succeed; it can start or fail or pause or cancel"
    ):
        after("queued", "succeed")
