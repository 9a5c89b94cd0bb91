"""Tokens before a text change no position of it, and padding is seen by none of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from metadata.architectures import FAMILIES
from metadata.checks import check
from metadata.errors import InvalidConfiguration
from metadata.methods import METHODS
from metadata.methods.spec import MethodSpec
from metadata.parameters import defaults
from metadata.records import Configuration
from training_worker.adapter import add_adapter, load_adapter, save_adapter, trainable
from training_worker.context_prompt import INPUT, LABEL, TYPES, choose_context, context_loss
from training_worker.data import IGNORED, Batch
from training_worker.scoring import target_logits
from training_worker.setting import Setting

PROMPTED = [spec for spec in METHODS.values() if spec.no_merge.startswith("it prepends")]
VOCABULARY, CONTEXT, PADDING = 64, 64, 0
LONG, SHORT = (3, 1, 4, 1, 5, 9, 2, 6), (5, 3, 5)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

of_prompted = pytest.mark.parametrize("spec", PROMPTED, ids=lambda spec: spec.name)


def base(family: str = "llama") -> Any:
    """Return a model of a family, with random weights that make each token's context matter."""
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
        "pad_token_id": PADDING,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.2,
    }
    own = {
        "gpt2": {"n_inner": 48, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
        "gpt_neox": {},
        "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
    }.get(family, {"num_key_value_heads": 2, "head_dim": 8})
    config = AutoConfig.for_model(family, **sizes, **own)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model.requires_grad_(False).eval()


def batch(*texts: tuple[int, ...]) -> Batch:
    length = max(map(len, texts))
    ids_BL = torch.tensor([[*text, *[PADDING] * (length - len(text))] for text in texts])
    mask_BL = torch.tensor([[1] * len(text) + [0] * (length - len(text)) for text in texts])
    labels_BL = ids_BL.masked_fill(mask_BL == 0, IGNORED)
    labels_BL[:, :2] = IGNORED  # the prompt
    tokens = int(mask_BL.sum())
    return Batch(ids_BL, mask_BL, labels_BL, targets=tokens - 2 * len(texts), tokens=tokens)


SETTING = Setting(batches=(batch(LONG, SHORT),), steps=10)


def asked(spec: MethodSpec, **changes: object) -> Configuration:
    return Configuration.model_validate(
        {
            "method": {"name": spec.name, **defaults(spec.parameters)},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            **changes,
        }
    )


def moved(spec: MethodSpec, family: str = "llama") -> Any:
    """Return a model with the method's weights away from where they start."""
    torch.manual_seed(0)
    model = add_adapter(base(family), asked(spec), SETTING).eval()
    with torch.no_grad():
        for weight in trainable(model).values():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


def scores(model: Any, *texts: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        return target_logits(model, batch(*texts))[0]


@of_prompted
@pytest.mark.parametrize("family", FAMILIES)
def test_a_padded_batch_scores_as_its_texts_alone(spec: MethodSpec, family: str) -> None:
    model = moved(spec, family)

    together = scores(model, LONG, SHORT)

    alone = torch.cat([scores(model, LONG), scores(model, SHORT)])
    torch.testing.assert_close(together, alone, **CLOSE)


@of_prompted
def test_what_stands_in_the_padding_changes_nothing(spec: MethodSpec) -> None:
    model, one = moved(spec), batch(LONG, SHORT)
    other = one.input_ids_BL.masked_fill(one.attention_mask_BL == 0, 7)

    with torch.no_grad():
        said = target_logits(model, one)[0]
        said_of_other = target_logits(model, Batch(other, *_rest(one)))[0]

    torch.testing.assert_close(said_of_other, said, **CLOSE)


@of_prompted
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_every_learnt_token_is_seen_and_gets_a_gradient(spec: MethodSpec, family: str) -> None:
    model = moved(spec, family)

    logits, labels, _ = target_logits(model, batch(LONG, SHORT))
    torch.nn.functional.cross_entropy(logits, labels).backward()

    weights = trainable(model)
    assert weights
    for name, weight in weights.items():
        assert weight.grad is not None, name
    table = next(weight for name, weight in weights.items() if "embedding" in name)
    rows_are_moved = table.grad.abs().sum(dim=1) > 0
    if spec.name == "cpt":  # rows of labels in the context stay
        config = model.active_peft_config
        is_input = torch.tensor(config.cpt_tokens_type_mask) % TYPES == INPUT
        assert torch.equal(rows_are_moved, is_input)
    else:
        assert rows_are_moved.all()


@of_prompted
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_saved_prompt_says_the_same_when_loaded(
    spec: MethodSpec, family: str, tmp_path: Path
) -> None:
    model = moved(spec, family)
    said = scores(model, LONG, SHORT)

    save_adapter(model, asked(spec), tmp_path / "adapter")
    loaded = load_adapter(base(family), tmp_path / "adapter").eval()

    torch.testing.assert_close(scores(loaded, LONG, SHORT), said, **CLOSE)
    assert not torch.allclose(said, scores(base(family), LONG, SHORT), rtol=1e-3, atol=1e-3)


@of_prompted
@pytest.mark.filterwarnings("ignore:Position ids are not supported")  # PEFT counts them itself
def test_a_loaded_prompt_generates_what_its_scores_foresee(
    spec: MethodSpec, tmp_path: Path
) -> None:
    model = moved(spec)
    save_adapter(model, asked(spec), tmp_path / "adapter")
    loaded = load_adapter(base(), tmp_path / "adapter").eval()

    made = loaded.generate(
        input_ids=torch.tensor([LONG]),
        attention_mask=torch.ones(1, len(LONG), dtype=torch.long),
        max_new_tokens=4,
        do_sample=False,
        eos_token_id=VOCABULARY + 1,
        pad_token_id=PADDING,
    )[0, -4:]

    text = LONG
    for token in made.tolist():
        foreseen = scores(loaded, (*text, token))[-1].argmax()
        assert int(foreseen) == token
        text = (*text, token)


def test_a_prefix_does_not_go_with_gradient_checkpointing() -> None:
    with pytest.raises(InvalidConfiguration, match="gradient_checkpointing"):
        check(asked(METHODS["prefix_tuning"], gradient_checkpointing=True))
    check(asked(METHODS["prompt_tuning"], gradient_checkpointing=True))


def test_a_context_has_the_shortest_examples_first_and_knows_their_labels() -> None:
    context = choose_context((batch(LONG, SHORT),), 7)

    ids, kinds = zip(*context, strict=True)
    assert ids == (*SHORT, *LONG[:4])
    of_second = (TYPES + INPUT, TYPES + INPUT, TYPES + LABEL, TYPES + LABEL)
    assert kinds == (INPUT, INPUT, LABEL, *of_second)


def test_a_context_begins_anew_where_the_data_are_fewer() -> None:
    context = choose_context((batch(SHORT),), 9)

    assert [token for token, _ in context] == [*SHORT, *SHORT, *SHORT]
    assert [kind // TYPES for _, kind in context] == [0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_a_context_of_texts_without_a_prompt_has_inputs_alone() -> None:
    one = batch(LONG)
    one.labels_BL[:] = one.input_ids_BL

    kinds = [kind % TYPES for _, kind in choose_context((one,), 8)]

    assert kinds == [INPUT] * 8


def test_a_context_needs_examples() -> None:
    with pytest.raises(ValueError, match="examples of the training data"):
        choose_context((), 8)


def test_a_cartridge_starts_as_its_text_before_each_text() -> None:
    spec = METHODS["cartridge"]
    model = add_adapter(base(), asked(spec), SETTING).eval()
    before = [token for token, _ in choose_context(SETTING.batches, 16)]

    said = scores(model, LONG)

    with torch.no_grad():
        logits = base()(input_ids=torch.tensor([[*before, *LONG]])).logits[0, len(before) : -1]
    torch.testing.assert_close(said, logits[1:], **CLOSE)  # the first token's label is no target


def test_the_loss_on_the_context_is_that_of_its_labels() -> None:
    spec = METHODS["cpt"]
    torch.manual_seed(0)
    model = add_adapter(base(), asked(spec), Setting(batches=(batch(SHORT),))).eval()
    config = model.active_peft_config

    loss = context_loss(model)

    ids = torch.tensor([config.cpt_token_ids])
    logits = base()(input_ids=ids).logits[0, :-1]
    nats = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    labels = [i for i, kind in enumerate(config.cpt_tokens_type_mask) if kind % TYPES == 0]
    decay = config.opt_loss_decay_factor
    powers = range(len(labels), 0, -1)
    wanted = sum(decay**power * nats[i - 1] for power, i in zip(powers, labels, strict=True))
    torch.testing.assert_close(loss, wanted / len(labels))


def _rest(one: Batch) -> tuple[torch.Tensor, torch.Tensor, int, int]:
    return one.attention_mask_BL, one.labels_BL, one.targets, one.tokens
