import json

import pytest
import torch

from metadata.errors import InvalidDataset
from metadata.examples import Example, Turn
from training_worker.data import (
    IGNORED,
    Tokens,
    batches_of_steps,
    collate,
    encode,
    padding_id,
    render,
)


def plain(prompt: str, completion: str) -> Example:
    return Example(turns=None, prompt=prompt, completion=completion)


def chat(*turns: tuple[str, str]) -> Example:
    made = tuple(Turn(role, content) for role, content in turns)
    return Example(turns=made, prompt=turns[0][1], completion=turns[-1][1])


def completion_of(tokens: Tokens, tokenizer) -> str:
    marked = [
        one for one, is_marked in zip(tokens.ids, tokens.is_completion, strict=True) if is_marked
    ]
    return tokenizer.decode(marked)


def text_of(tokens: Tokens, tokenizer) -> str:
    return tokenizer.decode(tokens.ids)


@pytest.mark.parametrize(
    ("prompt", "completion", "text"),
    [
        ("Say:", " yes", "Say: yes"),
        ("Say:", "yes", "Say: yes"),
        ("Say:\n", "yes", "Say:\nyes"),
        ("Say:", "\nyes", "Say:\nyes"),
        ("", "Once upon a time", "Once upon a time"),
    ],
)
def test_prompt_and_completion_are_joined_by_white_space(prompt, completion, text, tokenizer):
    assert render(plain(prompt, completion), tokenizer).text == text


def test_the_completion_and_the_end_of_the_text_are_what_is_marked(tokenizer):
    tokens = encode(plain("Größe? ", "très été ☃"), tokenizer, max_length_tokens=100)

    assert completion_of(tokens, tokenizer) == "très été ☃</s>"
    assert text_of(tokens, tokenizer) == "Größe? très été ☃</s>"


def test_every_reply_of_a_chat_is_marked_and_nothing_else(tokenizer):
    example = chat(
        ("system", "Be short"),
        ("user", "A?"),
        ("assistant", "b"),
        ("user", "C?"),
        ("assistant", "d"),
    )

    tokens = encode(example, tokenizer, max_length_tokens=500)

    assert completion_of(tokens, tokenizer) == "b</s>\nd</s>\n"
    assert text_of(tokens, tokenizer).startswith("<s>system: Be short</s>\n<s>user: A?</s>")


def test_a_template_that_writes_the_last_reply_otherwise_still_has_every_reply_marked(tokenizer):
    tokenizer = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}]"
        "{% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}{{ m.content }};"
        "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    example = chat(("user", "A?"), ("assistant", "b"), ("user", "C?"), ("assistant", "d"))

    tokens = encode(example, tokenizer, max_length_tokens=500)

    assert completion_of(tokens, tokenizer) == "b<think></think>d;"


def test_a_template_that_refuses_the_turns_is_an_error_that_says_so(tokenizer):
    tokenizer = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer)
    tokenizer.chat_template = "{{ raise_exception('no system here') }}"

    with pytest.raises(InvalidDataset, match="no system here"):
        encode(chat(("user", "A?"), ("assistant", "b")), tokenizer, max_length_tokens=50)


def test_without_a_chat_template_a_chat_is_prompt_and_completion(tokenizer):
    tokenizer = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>")

    tokens = encode(chat(("user", "A?"), ("assistant", "b")), tokenizer, max_length_tokens=50)

    assert text_of(tokens, tokenizer) == "A? b</s>"


def test_too_long_an_example_loses_the_left_of_its_prompt(tokenizer):
    tokens = encode(plain("abcdefghij", " xyz"), tokenizer, max_length_tokens=8)

    assert text_of(tokens, tokenizer) == "hij xyz</s>"
    assert completion_of(tokens, tokenizer) == " xyz</s>"


def test_too_long_a_completion_keeps_one_token_of_the_prompt_and_loses_its_right(tokenizer):
    tokens = encode(plain("abc", " 123456789"), tokenizer, max_length_tokens=8)

    assert text_of(tokens, tokenizer) == "c 123456"


def test_the_token_that_begins_a_text_stays_when_the_prompt_is_cut(tokenizer):
    first, *others = tokenizer("<s>abcdefghij xyz").input_ids
    assert first == tokenizer.bos_token_id
    del others

    tokens = encode(plain("<s>abcdefghij", " xyz"), tokenizer, max_length_tokens=8)

    assert text_of(tokens, tokenizer) == "<s>ij xyz</s>"


def test_a_batch_counts_targets_and_tokens_and_pads_on_the_right(tokenizer):
    rows = [Tokens((5, 6, 7), (False, True, True)), Tokens((8, 9), (False, True))]

    batch = collate(
        rows, loss_on="completion", padding_id=padding_id(tokenizer), device=torch.device("cpu")
    )

    assert batch.input_ids_BL.tolist() == [[5, 6, 7], [8, 9, tokenizer.eos_token_id]]
    assert batch.attention_mask_BL.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.labels_BL.tolist() == [[IGNORED, 6, 7], [IGNORED, 9, IGNORED]]
    assert (batch.targets, batch.tokens) == (3, 5)


def test_a_loss_on_all_leaves_out_only_the_first_token():
    row = Tokens((5, 6, 7), (False, False, True))

    assert row.labels("all") == [IGNORED, 6, 7]
    assert row.labels("completion") == [IGNORED, IGNORED, 7]


@pytest.mark.parametrize(
    ("epochs", "batch_size", "sizes"),
    [(1, 4, [4, 4, 2]), (2, 4, [4] * 5), (0.5, 4, [4, 1]), (1.3, 10, [10, 3]), (0.01, 4, [1])],
)
def test_steps_cover_the_epochs_and_a_part_of_the_last(epochs, batch_size, sizes):
    steps = batches_of_steps(examples=10, batch_size=batch_size, epochs=epochs, seed=0)

    assert [len(step) for step in steps] == sizes


def test_every_epoch_has_every_example_once_in_an_order_of_its_own():
    steps = batches_of_steps(examples=10, batch_size=3, epochs=2, seed=0)

    order = [number for step in steps for number in step]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


def test_the_order_is_that_of_the_seed():
    orders = [
        json.dumps(batches_of_steps(examples=50, batch_size=8, epochs=1, seed=seed))
        for seed in (0, 0, 1)
    ]

    assert orders[0] == orders[1] != orders[2]
