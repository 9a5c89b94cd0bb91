"""Turn examples into token ids with a loss mask, and token ids into batches.

Axes: B examples of a micro-batch, L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any, Literal

import torch

from metadata.errors import InvalidDataset
from metadata.examples import Example, Turn
from training_worker.request import RunRequest

IGNORED = -100  # the label that torch's cross entropy leaves out
LossOn = Literal["completion", "all"]


@dataclass(frozen=True)
class Tokens:
    """One example as token ids; `is_completion` marks the tokens that a reply is made of.

    A row of several examples has their lengths as `parts`.
    """

    ids: tuple[int, ...]
    is_completion: tuple[bool, ...]
    parts: tuple[int, ...] = ()

    @property
    def positions(self) -> list[int]:
        """Return the place of each token in its example."""
        return list(chain.from_iterable(map(range, self.parts or (len(self.ids),))))

    def labels(self, loss_on: LossOn) -> list[int]:
        """Return the ids to predict; a first token has nothing before it to predict it from."""
        marks = self.is_completion if loss_on == "completion" else (True,) * len(self.ids)
        return [
            one if marked and position else IGNORED
            for one, marked, position in zip(self.ids, marks, self.positions, strict=True)
        ]


@dataclass(frozen=True)
class EncodedSplits:
    """The data as tokens; held-out parts are capped by the request's score settings."""

    train: list[Tokens]
    validation: list[Tokens]
    test: list[Tokens]


@dataclass(frozen=True)
class Batch:
    """Right-padded tensors of shape (B, L), and how much is in them.

    Where rows have several examples there are positions, which start anew with each example and
    with the padding.
    """

    input_ids_BL: torch.Tensor
    attention_mask_BL: torch.Tensor
    labels_BL: torch.Tensor
    targets: int
    tokens: int
    positions_BL: torch.Tensor | None = None


@dataclass(frozen=True)
class Rendered:
    """The text of one example and the [start, end) characters of its completions."""

    text: str
    spans: tuple[tuple[int, int], ...]
    is_templated: bool


def encode_splits(request: RunRequest, tokenizer: Any, *, max_length_tokens: int) -> EncodedSplits:
    """Return the request's examples as tokens.

    Raises:
        InvalidDataset: A split is empty, or an example does not go with the chat template.
    """
    held_out = request.scoring

    def encode_all(name: str, examples: Sequence[Example]) -> list[Tokens]:
        if not examples:
            raise InvalidDataset(f"A run needs at least one {name} example, got none. Add some.")
        return [encode(one, tokenizer, max_length_tokens=max_length_tokens) for one in examples]

    return EncodedSplits(
        train=encode_all("training", request.train),
        validation=encode_all("validation", request.validation[: held_out.validation_examples]),
        test=encode_all("test", request.test[: held_out.test_examples]),
    )


def encode(
    example: Example, tokenizer: Any, *, max_length_tokens: int, last_reply: bool = False
) -> Tokens:
    """Return an example as tokens with its completions marked, cut to a length.

    Chat turns go through the model's chat template, and every assistant turn is a completion.
    Anything else is prompt and completion joined, by a space where neither brings white space,
    and the end-of-text token, which is part of the completion. Too long an example loses the
    left of its prompt first, then the right of its completion. With `last_reply` only the last
    assistant turn is a completion.

    Raises:
        InvalidDataset: The chat template refuses the turns or leaves a reply out.
    """
    rendered = render(example, tokenizer)
    if last_reply:
        rendered = replace(rendered, spans=rendered.spans[-1:])
    tokens = _tokenize(rendered, tokenizer)
    return _truncate(tokens, max_length_tokens, keep_first=_starts_with_bos(tokens, tokenizer))


def render(example: Example, tokenizer: Any) -> Rendered:
    """Return the text that the model reads, and where in it the completions stand."""
    if example.turns is not None and tokenizer.chat_template:
        return _render_chat(example.turns, tokenizer)
    prompt, completion = example.prompt, example.completion
    needs_space = prompt and not prompt[-1].isspace() and not completion[:1].isspace()
    text = prompt + (" " if needs_space else "") + completion
    return Rendered(text, ((len(prompt), len(text)),), is_templated=False)


def collate(
    examples: Sequence[Tokens], *, loss_on: LossOn, padding_id: int, device: torch.device
) -> Batch:
    """Return examples side by side, padded on the right to the longest."""
    length = max(len(example.ids) for example in examples)
    labels_BL = [_pad(example.labels(loss_on), length, IGNORED) for example in examples]
    is_packed = any(len(example.parts) > 1 for example in examples)
    return Batch(
        input_ids_BL=torch.tensor(
            [_pad(example.ids, length, padding_id) for example in examples], device=device
        ),
        attention_mask_BL=torch.tensor(
            [_pad([1] * len(example.ids), length, 0) for example in examples], device=device
        ),
        labels_BL=torch.tensor(labels_BL, device=device),
        targets=sum(label != IGNORED for row in labels_BL for label in row),
        tokens=sum(len(example.ids) for example in examples),
        positions_BL=_positions(examples, length, device) if is_packed else None,
    )


def _positions(examples: Sequence[Tokens], length: int, device: torch.device) -> torch.Tensor:
    rows = [[*one.positions, *range(length - len(one.ids))] for one in examples]
    return torch.tensor(rows, device=device)


def padding_id(tokenizer: Any) -> int:
    """Return the id to pad with; masked positions are never read, so any id serves."""
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(one) for one in known if one is not None), 0)


def _render_chat(turns: tuple[Turn, ...], tokenizer: Any) -> Rendered:
    text = _apply_template(turns, tokenizer)
    spans: list[tuple[int, int]] = []
    for index, turn in enumerate(turns):
        if turn.role == "assistant":
            searched_from = spans[-1][1] if spans else 0
            spans.append(_reply_span(turns, index, text, searched_from, tokenizer))
    return Rendered(text, tuple(spans), is_templated=True)


def _reply_span(
    turns: tuple[Turn, ...], index: int, text: str, searched_from: int, tokenizer: Any
) -> tuple[int, int]:
    """Return where a reply stands: between the template's texts before it and up to it.

    Some templates write a last turn otherwise than an earlier one, so that these texts are no
    prefixes of the whole; the reply's own words are searched for then.
    """
    before = _apply_template(turns[:index], tokenizer, ask=True) if index else ""
    upto = text if index == len(turns) - 1 else _apply_template(turns[: index + 1], tokenizer)
    content = turns[index].content.strip()
    found = text.find(content, searched_from)
    start = len(before) if text.startswith(before) and len(before) >= searched_from else found
    end = len(upto) if text.startswith(upto) else found + len(content)
    if start < 0 or end <= start:
        raise InvalidDataset(
            f"Every assistant turn must stand in the chat template's text; turn {index + 1} does "
            "not. Give the data as prompt and completion, or use a model with another template."
        )
    return start, end


def _apply_template(turns: tuple[Turn, ...], tokenizer: Any, *, ask: bool = False) -> str:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
    except Exception as error:  # a template is a program that may raise anything
        roles = ", ".join(turn.role for turn in turns)
        raise InvalidDataset(
            f"The model's chat template must accept the turns; it refused {roles}: {error}. "
            "Change the roles or their order."
        ) from error
    return str(text)


def _tokenize(rendered: Rendered, tokenizer: Any) -> Tokens:
    encoding = tokenizer(
        rendered.text,
        add_special_tokens=not rendered.is_templated,
        return_offsets_mapping=True,
        truncation=False,
        verbose=False,
    )
    ids, offsets = list(encoding["input_ids"]), encoding["offset_mapping"]
    marks = [any(s < end and start < e for s, e in rendered.spans) for start, end in offsets]
    end_id = tokenizer.eos_token_id
    if not rendered.is_templated and end_id is not None:
        ids, marks = _without_end(ids, marks, end_id)
        ids, marks = [*ids, end_id], [*marks, True]
    return Tokens(tuple(ids), tuple(marks))


def _without_end(ids: list[int], marks: list[bool], end_id: int) -> tuple[list[int], list[bool]]:
    """Drop an end token that the tokenizer itself appended, so that there is one of it."""
    return (ids[:-1], marks[:-1]) if len(ids) > 1 and ids[-1] == end_id else (ids, marks)


def _starts_with_bos(tokens: Tokens, tokenizer: Any) -> bool:
    return bool(tokens.ids) and tokens.ids[0] == tokenizer.bos_token_id


def _truncate(tokens: Tokens, length: int, *, keep_first: bool) -> Tokens:
    excess = len(tokens.ids) - length
    if excess <= 0:
        return tokens
    kept = 1 if keep_first else 0
    first_target = tokens.is_completion.index(True) if any(tokens.is_completion) else 0
    cut = max(0, min(excess, first_target - 1 - kept))  # one token of the prompt must stay
    ids = tokens.ids[:kept] + tokens.ids[kept + cut :]
    marks = tokens.is_completion[:kept] + tokens.is_completion[kept + cut :]
    return Tokens(ids[:length], marks[:length])


def _pad(values: Sequence[int], length: int, padding: int) -> list[int]:
    return [*values, *[padding] * (length - len(values))]


def batches_of_steps(
    *, examples: int, batch_size: int, epochs: float, seed: int
) -> list[list[int]]:
    """Return the example numbers of every optimizer step.

    The epochs are shuffled one by one and laid end to end, so a step may span two of them; a
    fractional last epoch takes its first part. There are ceil(epochs * examples / batch_size)
    steps, and the last holds what is left.
    """
    generator = torch.Generator().manual_seed(seed)
    seen = max(1, round(epochs * examples))
    order: list[int] = []
    while len(order) < seen:
        order += torch.randperm(examples, generator=generator).tolist()
    starts = [*range(0, seen, batch_size), seen]
    return [order[start:end] for start, end in pairwise(starts)]
