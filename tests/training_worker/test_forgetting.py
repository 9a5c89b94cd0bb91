from pathlib import Path

import pytest

from tests.training_worker.conftest import MakeRequest
from training_worker.forgetting import TEXT_TOKENS, encode_texts, read_texts, write_texts
from training_worker.run import run


def test_text_of_a_base_is_kept_beside_it(tmp_path: Path) -> None:
    texts = ("Once upon a time.", "naïve 🙂\nline")

    write_texts(tmp_path, texts)

    assert read_texts(tmp_path) == texts
    assert read_texts(tmp_path / "elsewhere") == ()


def test_all_tokens_but_the_first_count_and_long_texts_are_cut(tokenizer) -> None:
    short, long = encode_texts(["abc", "x" * 500, "y"], tokenizer, context_tokens=1000)

    assert short.is_completion == (False, True, True)
    assert len(long.ids) == TEXT_TOKENS


@pytest.mark.parametrize("texts", [(), ("Say blue 3: blue" * 4, "Something else.")])
def test_a_run_says_what_was_forgotten_where_there_is_text(
    make_request: MakeRequest, texts: tuple[str, ...]
) -> None:
    result = run(make_request(own_text=texts))

    assert result.scores is not None
    assert (result.scores.forgotten is None) == (not texts)


def test_what_is_trained_on_is_not_forgotten(make_request: MakeRequest) -> None:
    request = make_request("full", epochs=6)
    taught = tuple(f"{example.prompt}{example.completion}" for example in request.train)

    result = run(make_request("full", epochs=6, own_text=taught))

    assert result.scores is not None
    assert result.scores.forgotten is not None
    assert result.scores.forgotten < 0
