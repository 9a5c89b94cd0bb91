"""DPO: the loss that TRL has, on pairs, with the untrained base as the reference."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from math import isclose, log
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from metadata.examples import Preference, Turn, read_examples, split_examples
from metadata.records import Objective
from training_worker.adapter import add_adapter, trainable
from training_worker.dpo import PreferenceLearner
from training_worker.ledger import Ledger
from training_worker.model import Base
from training_worker.pairs import Pair, encode_pairs
from training_worker.request import RunRequest, ScoreSettings
from training_worker.resuming.fingerprint import fingerprint
from training_worker.resuming.keeper import Preempted
from training_worker.run import run

TREC = Path(__file__).parents[2].parent / "shared" / "data" / "tasks" / "trec_qc.jsonl"
COLOURS = ["red", "green and blue", "yellow", "any of all the others"]
DPO = Objective(name="dpo", beta=0.3)
LORA = {"name": "lora", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1}


def preference(number: int) -> Preference:
    chosen, rejected = COLOURS[number % 2], COLOURS[2 + number // 2 % 2]
    return Preference(None, f"Say colour {number}:", f" {chosen}", f" {rejected}")


PAIRS = [preference(number) for number in range(24)]


@pytest.fixture
def make_dpo(make_request):
    """Return a function that makes a small request for DPO; arguments change what it asks."""

    def make(method: str = "lora", /, **changes: object) -> RunRequest:
        asked = {
            "train": tuple(PAIRS[:16]),
            "validation": tuple(PAIRS[16:20]),
            "test": tuple(PAIRS[20:]),
            "objective": DPO,
        }
        return make_request(method, **(asked | changes))

    return make


@pytest.fixture
def base(tiny_llama, tokenizer) -> Base:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama).requires_grad_(False)
    return Base(model, tokenizer, "tiny")


@pytest.fixture
def pairs(make_dpo, base) -> list[Pair]:
    ledger = Ledger(report=lambda measurement, progress: None)
    return encode_pairs(make_dpo(), base, ledger, max_length_tokens=64).train


@pytest.fixture
def learner(base, make_dpo, pairs) -> PreferenceLearner:
    """Return a learner that has left its base, once the pairs have what the base thought."""
    del pairs
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = add_adapter(base.model, make_dpo("lora").configuration)
        for weight in trainable(model).values():
            weight.data += 0.05 * torch.randn_like(weight)
    return PreferenceLearner(model, trainable(model), "completion", 1, beta=DPO.beta)


def loss_and_gradients(
    learner: PreferenceLearner, micro_batches: Sequence[Sequence[Pair]]
) -> tuple[float, list[torch.Tensor]]:
    learner.forget_gradients()
    batches = [learner.collate(micro) for micro in micro_batches]
    targets = sum(batch.targets for batch in batches)
    loss = sum(learner.backward(batch, targets=targets) for batch in batches) / targets
    return loss, [weight.grad.clone() for weight in learner.weights.values()]


@pytest.mark.filterwarnings("ignore")  # of TRL and what it calls, not ours to heed
def test_loss_and_gradient_are_those_of_trl(pairs, base, tmp_path) -> None:
    trl = pytest.importorskip("trl", reason="needs the package trl")
    datasets = pytest.importorskip("datasets", reason="needs the package datasets")
    base.tokenizer.pad_token = base.tokenizer.eos_token
    records = [
        {"prompt": one.prompt, "chosen": one.completion, "rejected": one.rejected}
        for one in PAIRS[:8]
    ]
    model = deepcopy(base.model).requires_grad_(True).eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for weight in model.parameters():
            weight += 0.02 * torch.randn_like(weight)
    learner = PreferenceLearner(model, dict(model.named_parameters()), "completion", 1, beta=0.3)
    loss, gradients = loss_and_gradients(learner, [pairs[:8]])

    judge = trl.DPOTrainer(
        model=model,
        ref_model=base.model,
        args=trl.DPOConfig(
            output_dir=str(tmp_path),
            beta=0.3,
            per_device_train_batch_size=8,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            report_to="none",
        ),
        train_dataset=datasets.Dataset.from_list(records),
        processing_class=base.tokenizer,
    )
    model.eval()
    learner.forget_gradients()
    batch = judge.data_collator([judge.train_dataset[row] for row in range(8)])
    theirs = judge.compute_loss(model, batch)
    theirs.backward()

    assert batch["input_ids"].tolist() == learner.collate(pairs[:8]).input_ids_BL.tolist()
    assert not isclose(loss, log(2), abs_tol=1e-3), "it was meant to have left its base"
    assert loss == pytest.approx(float(theirs), abs=1e-5)
    for ours, weight in zip(gradients, learner.weights.values(), strict=True):
        torch.testing.assert_close(ours, weight.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_the_loss_of_a_step_is_the_mean_over_pairs_in_any_micro_batch(learner, pairs, size) -> None:
    learner.model.eval()
    whole, gradients = loss_and_gradients(learner, [pairs[:8]])

    parts = [pairs[start : min(start + size, 8)] for start in range(0, 8, size)]
    loss, others = loss_and_gradients(learner, parts)

    assert loss == pytest.approx(whole, rel=1e-5)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)


def test_only_the_last_reply_of_a_chat_counts(make_dpo, base) -> None:
    spoken = ("Hello", "Good day", "2 + 2?")
    turns = tuple(Turn(("user", "assistant")[n % 2], text) for n, text in enumerate(spoken))
    chat = Preference((*turns, Turn("assistant", "4")), "\n".join(spoken), "4", "22")
    request = make_dpo(train=(chat,), validation=(chat,), test=(chat,))
    ledger = Ledger(report=lambda measurement, progress: None)

    [pair] = encode_pairs(request, base, ledger, max_length_tokens=128).train

    replies = [
        base.tokenizer.decode(
            [one for one, marked in zip(row.ids, row.is_completion, strict=True) if marked]
        )
        for row in (pair.chosen, pair.rejected)
    ]
    assert replies == ["4</s>\n", "22</s>\n"]


@pytest.mark.parametrize("method", ["lora", "full", "bitfit"])
def test_a_run_starts_at_ln_2_and_raises_the_margin(method, make_dpo, tiny_gpt2) -> None:
    result = run(make_dpo(method, base_model=tiny_gpt2, epochs=8))

    assert result.state == "succeeded", result.reason
    scores = result.scores
    assert scores.base_loss == pytest.approx(log(2), abs=1e-12)
    assert (scores.preference.base_margin, scores.preference.base_accuracy) == (0.0, 0.5)
    assert scores.preference.margin > 0
    assert scores.best_loss < scores.base_loss
    assert scores.mean_reciprocal_rank is None
    validation = {(m.name, m.step): m.value for m in result.curve if m.split == "validation"}
    assert validation["margin", 0] == 0.0
    assert validation["margin", result.costs.steps] > 0
    assert isclose(validation["loss", 0], log(2), abs_tol=1e-12)


@pytest.mark.skipif(not TREC.is_file(), reason="needs the shared task trec_qc")
def test_100_pairs_of_real_labels_raise_the_held_out_margin(make_request) -> None:
    with TREC.open("rb") as lines:
        labelled = list(dict.fromkeys(read_examples(lines)))[:100]
    labels = sorted({one.completion for one in labelled})
    pairs = [
        Preference(None, one.prompt, one.completion, others[number % len(others)])
        for number, one in enumerate(labelled)
        for others in [[label for label in labels if label != one.completion]]
    ]
    splits = split_examples(pairs)

    result = run(
        make_request(
            base_model="peftwise-tiny",
            train=splits.train,
            validation=splits.validation,
            test=splits.test,
            objective=Objective(name="dpo"),
            scoring=ScoreSettings(),
            epochs=5,
            batch_size=8,
            optimizer={"name": "adamw", "learning_rate": 1e-3},
        )
    )

    assert result.state == "succeeded", result.reason
    assert result.scores.preference.margin > 0.1 > result.scores.preference.base_margin
    assert result.scores.best_loss < result.scores.base_loss


def test_a_run_that_was_stopped_goes_on_bit_for_bit(make_dpo, tmp_path) -> None:
    request = make_dpo(method=LORA, epochs=3, output_folder=tmp_path / "whole")
    taken: list[int] = []
    part = replace(request, output_folder=tmp_path / "resumed", checkpoint_folder=tmp_path / "kept")

    whole = run(request)
    with pytest.raises(Preempted):
        run(part, on_step=lambda step: taken.append(step.step), should_stop=lambda: len(taken) > 5)
    resumed = run(replace(part, attempt=2))

    assert whole.state == resumed.state == "succeeded", (whole.reason, resumed.reason)
    assert 5 < len(taken) < whole.costs.steps
    assert resumed.curve == whole.curve
    assert resumed.scores == whole.scores
    files = [next((tmp_path / name).glob("*.safetensors")) for name in ("whole", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_checkpoint_is_of_its_objective_alone(make_dpo, base) -> None:
    request = make_dpo()

    names = {
        fingerprint(replace(request, objective=one), base.model)
        for one in (DPO, Objective(name="dpo", beta=0.2), Objective())
    }

    assert len(names) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer": {"name": "mezo", "learning_rate": 1e-3, "perturbation": 1e-3}}, "gradients"),
        ({"packing": True}, "packing must be false"),
        ({"loss_on": "all"}, "loss_on must be completion"),
        ({"objective": Objective()}, "Supervised training learns from examples without"),
    ],
)
def test_what_does_not_go_with_preferences_is_refused(changes, words, make_dpo) -> None:
    result = run(make_dpo(**changes))

    assert result.state == "failed"
    assert words in result.reason


def test_examples_without_preferences_are_refused(make_request) -> None:
    result = run(make_request(objective=DPO))

    assert result.state == "failed"
    assert "without chosen and rejected" in result.reason


def test_prompt_methods_learn_to_prefer_too(make_dpo) -> None:
    result = run(make_dpo("prompt_tuning", epochs=1))

    assert result.state == "succeeded", result.reason
