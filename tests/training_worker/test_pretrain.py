import json
import lzma
import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from metadata.errors import InvalidDataset, InvalidRequest
from training_worker.model import BASE_MODELS
from training_worker.pretrain import main, pretrain
from training_worker.pretraining.corpus import texts, token_rows
from training_worker.pretraining.recipes import RECIPES
from training_worker.pretraining.settings import Settings
from training_worker.pretraining.tokenizer import SPECIAL, as_transformers, learn_tokenizer
from training_worker.pretraining.trainer import build_model, train
from training_worker.tasks.text import documents

VOCABULARY, CONTEXT = 512, 64
SMALL = {
    "tokens": 40_000,
    "vocabulary": VOCABULARY,
    "hidden_size": 32,
    "layers": 2,
    "heads": 4,
    "key_value_heads": 2,
    "mlp_width": 64,
    "context_tokens": CONTEXT,
    "batch_tokens": 512,
    "device": "cpu",
}


def small(folder: Path, **changes: object) -> Settings:
    places = {"output": folder / "small-model", "cache": folder / "cache"}
    return Settings(**(SMALL | places | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    options = {name: value for name, value in SMALL.items() if name != "device"}
    written = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    output = folder / "small-model"
    assert main([f"--output={output}", f"--cache={folder}", "--device=cpu", *written]) == 0
    return output


def test_a_model_made_from_nothing_loads_and_has_learnt(made: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(made, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(made)
    ids = tokenizer("Question: Where was Anna born?\nAnswer:", return_tensors="pt").input_ids
    unseen = tokenizer(next(documents(999)), return_tensors="pt").input_ids[:, :CONTEXT]

    with torch.no_grad():
        loss = float(model(input_ids=unseen, labels=unseen).loss)
    written = model.generate(ids, max_new_tokens=3, do_sample=False)

    assert loss < math.log(VOCABULARY) - 0.7
    assert written.shape[1] <= ids.shape[1] + 3
    assert model.config.tie_word_embeddings
    assert next(AutoModelForCausalLM.from_pretrained(made).parameters()).dtype == torch.bfloat16


def test_the_card_says_how_it_was_made_and_names_no_folder_of_the_machine(made: Path) -> None:
    card = (made / "README.md").read_text()

    for part in ("license: apache-2.0", "--tokens 40000", "nats per token", torch.__version__):
        assert part in card
    for path in made.iterdir():
        assert str(made.parent).encode() not in path.read_bytes()


def test_any_text_survives_the_tokenizer(made: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made)
    texts_seen = ["  two  spaces\tand\ttabs\n\n", "naïve café: 12,345 €", "日本語 🙂", "\x00\x7f"]

    assert [tokenizer.decode(tokenizer(text).input_ids) for text in texts_seen] == texts_seen
    assert tokenizer("2048").input_ids == [tokenizer(digit).input_ids[0] for digit in "2048"]


def test_roles_and_ends_are_one_token_each_and_the_chat_template_uses_them(made: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(made)
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]

    text = tokenizer.apply_chat_template(messages, tokenize=False)
    asked = tokenizer.apply_chat_template(messages[:1], tokenize=False, add_generation_prompt=True)

    assert text == "<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n"
    assert text.startswith(asked)
    assert [len(tokenizer(token).input_ids) for token in SPECIAL] == [1] * len(SPECIAL)
    assert tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.pad_token != tokenizer.eos_token


def test_a_model_in_gpt2s_layout_is_made_and_loads(tmp_path: Path) -> None:
    settings = small(tmp_path, layout="gpt2", key_value_heads=4, tokens=2048)

    trained = pretrain(settings)

    model = AutoModelForCausalLM.from_pretrained(settings.output)
    assert model.config.model_type == "gpt2"
    assert model.num_parameters() == trained.parameters
    assert "GPT-2's layout" in (settings.output / "README.md").read_text()


def test_a_recipe_fills_in_what_is_not_said(tmp_path: Path) -> None:
    output = tmp_path / "model"
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("Once upon a time there was a model. " * 400)
    folders = [f"--output={output}", f"--cache={tmp_path}", f"--corpus={corpus}"]
    sizes = ["--tokens=1024", "--batch-tokens=512", "--context-tokens=64", "--hidden-size=16"]

    made = main([*folders, *sizes, "--vocabulary=320", "--recipe=reader-gpt2"])

    config = json.loads((output / "config.json").read_text())
    assert made == 0
    assert (config["model_type"], config["n_layer"], config["n_embd"]) == ("gpt2", 5, 16)
    assert "--mlp-width 512" in (output / "README.md").read_text()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_model_that_can_be_made(tmp_path: Path, name: str) -> None:
    settings = Settings(output=tmp_path, cache=tmp_path, **RECIPES[name])
    assert settings.steps >= 1


def test_every_byte_is_a_piece_even_if_the_corpus_lacks_it() -> None:
    tokenizer = learn_tokenizer(["aaaa bbbb"], vocabulary=320)
    fast = as_transformers(tokenizer, context_tokens=8)

    assert fast.decode(fast("\u00ff zebra \u4e16").input_ids) == "\u00ff zebra \u4e16"
    assert fast.unk_token is None


def test_the_same_seed_makes_the_same_weights(tmp_path: Path) -> None:
    settings = small(tmp_path, tokens=4096)
    tokenizer = learn_tokenizer(texts_of(settings), vocabulary=VOCABULARY)
    rows_NL = token_rows(settings, tokenizer)
    weights = []
    for _ in range(2):
        model = build_model(settings, end_id=0, padding_id=1)
        trained = train(model, rows_NL, settings, report=lambda step, loss: None)
        weights.append((trained.held_out_loss, model.model.norm.weight.detach().clone()))

    assert weights[0][0] == weights[1][0]
    assert torch.equal(weights[0][1], weights[1][1])


def test_bf16_matrix_products_learn_as_well_but_not_the_same_bits(tmp_path: Path) -> None:
    exact = pretrain(small(tmp_path, output=tmp_path / "fp32"))
    mixed = pretrain(small(tmp_path, output=tmp_path / "bf16", precision="bf16"))

    assert mixed.held_out_loss == pytest.approx(exact.held_out_loss, abs=0.05)
    assert mixed.train_loss != exact.train_loss
    assert "bf16 autocast" in (tmp_path / "bf16/README.md").read_text()
    assert "fp32, 1 thread" in (tmp_path / "fp32/README.md").read_text()


def test_an_interrupted_pretraining_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training_worker.pretraining.trainer._KEEP_EVERY", 3)
    settings = small(tmp_path, tokens=4096)
    tokenizer = learn_tokenizer(texts_of(settings), vocabulary=VOCABULARY)
    rows_NL = token_rows(settings, tokenizer)

    def weights(stop_at: int) -> tuple[list[int], torch.Tensor]:
        model, seen = build_model(settings, end_id=0, padding_id=1), []

        def report(step: int, loss: float) -> None:
            seen.append(step)
            if step == stop_at:
                raise KeyboardInterrupt

        train(model, rows_NL, settings, report=report)
        return seen, model.model.norm.weight.detach().clone()

    monkeypatch.setattr("training_worker.pretraining.trainer._REPORT_EVERY", 1)
    whole = weights(stop_at=0)
    with pytest.raises(KeyboardInterrupt):
        weights(stop_at=5)
    rest = weights(stop_at=0)

    assert whole[0] == list(range(1, settings.steps + 1))
    assert rest[0] == list(range(4, settings.steps + 1))
    assert torch.equal(rest[1], whole[1])
    assert not list(settings.cache.glob("peftwise-pretraining-*"))


def test_rows_come_from_the_cache_the_second_time(tmp_path: Path) -> None:
    settings = small(tmp_path, tokens=2048)
    tokenizer = learn_tokenizer(texts_of(settings), vocabulary=VOCABULARY)
    rows_NL = token_rows(settings, tokenizer)
    (cached,) = settings.cache.iterdir()
    written = cached.stat().st_mtime_ns

    again_NL = token_rows(settings, tokenizer)

    assert (again_NL == rows_NL).all()
    assert rows_NL.shape == (2048 // CONTEXT, CONTEXT)
    assert cached.stat().st_mtime_ns == written


def test_a_folder_of_any_kind_of_text_can_be_the_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text("Once upon a time. " * 200)
    (corpus / "b.md").write_text("# Title\n" + "A line of text. " * 200)
    (corpus / "c.jsonl").write_text(json.dumps({"text": "From a line. " * 200}) + "\n")
    with lzma.open(corpus / "d.jsonl.xz", "wt") as file:
        file.write(json.dumps({"text": "From a packed line. " * 200}) + "\n")
    (corpus / "e.bin").write_bytes(b"\x00" * 100)
    settings = small(tmp_path, corpus=corpus, tokens=1024, hidden_size=16)

    trained = pretrain(settings)

    assert len(list(texts(settings))) == 4
    assert trained.tokens == 1024
    assert "the folder `corpus`" in (settings.output / "README.md").read_text()


def test_a_broken_line_of_a_corpus_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"no text": 1}\n')

    with pytest.raises(InvalidDataset, match=r"line 2 of a\.jsonl"):
        list(texts(small(tmp_path, corpus=tmp_path)))


def test_an_empty_corpus_folder_is_refused_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()

    status = main([f"--output={tmp_path / 'out'}", f"--corpus={tmp_path / 'empty'}"])

    assert status == 2
    assert "*.txt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"hidden_size": 30}, "--hidden-size"),
        ({"heads": 4, "key_value_heads": 3}, "--heads"),
        ({"vocabulary": 100}, "--vocabulary"),
        ({"tokens": 5}, "--tokens"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"layers": 0}, "--layers"),
        ({"processes": 0}, "--processes"),
        ({"layout": "gpt2"}, "--key-value-heads"),
    ],
)
def test_sizes_that_no_decoder_has_are_refused(
    tmp_path: Path, changes: dict[str, object], name: str
) -> None:
    with pytest.raises(InvalidRequest, match=name):
        small(tmp_path, **changes)


def test_the_shipped_model_is_small_and_what_its_card_says() -> None:
    folder = BASE_MODELS / "peftwise-tiny"
    config = json.loads((folder / "config.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(folder)
    card = (folder / "README.md").read_text()

    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
    assert f"{model.num_parameters():,} parameters" in card
    assert (config["hidden_size"], config["num_hidden_layers"]) == (128, 6)
    assert (config["vocab_size"], config["max_position_embeddings"]) == (2048, 512)


def texts_of(settings: Settings) -> list[str]:
    return [text for _, text in zip(range(200), texts(settings), strict=False)]
