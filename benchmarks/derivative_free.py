"""Training without gradients: what it needs in memory, and what it learns from 16 examples a class.

    python benchmarks/derivative_free.py --data FOLDER [--base MODEL] [--output FILE]

FOLDER holds TASK.jsonl of prompts and completions, of which the completions are labels; those with
too few examples are left out. MODEL is a Hugging Face id or a folder, such as the one that
`benchmarks/pretrained_base.py` makes. The result file grows run by run, and a run that stands in it
is not done again.

Memory: the peak of live tensors of a rehearsed step on 16 examples of 256 tokens, in a Llama of
random weights; of plain inference, the same batch's logits and loss.

Quality: the base model is trained on 16 examples of each class, and the best checkpoint chosen by
the loss on 16 others of each. Told is the loss on held-out examples, as many of each class. The
loss, here and in training, is the cross entropy over the first tokens of the labels, as in the
paper that the searches are from (arXiv:2403.01754): where nothing is known it is ln k. The model's
output layer is cut to these tokens.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from metadata.examples import Example, read_examples
from metadata.features.model import profile_model
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import defaults
from metadata.priors import usual_rate
from metadata.records import Configuration, ModelProfile
from training_worker.adapter import add_adapter, trainable
from training_worker.data import Tokens, encode
from training_worker.derivative_free.judging import nats_of
from training_worker.ledger import Ledger
from training_worker.loop import Learner, fit_memory, rehearse
from training_worker.loop import train as train_all
from training_worker.meter import TensorMeter
from training_worker.model import Base, load_base, prepare, resolve_model
from training_worker.request import RunRequest
from training_worker.scoring import ExampleScores, score
from training_worker.trainers import TRAINERS

SHIPPED = "peftwise-tiny"
TASKS = ("bbh_algorithmic", "trec_qc", "subjectivity")
SEEDS = (0, 1, 2)
A_CLASS, TEST_A_CLASS, CHECKPOINTS = 16, 50, 10
LENGTH_TOKENS = 160
ROWS = 16  # through the model at once
FROZEN, INFERENCE = "frozen base", "inference"
MEMORY_ROWS, MEMORY_TOKENS = 16, 256
MEMORY_MODEL = LlamaConfig(
    vocab_size=4352,
    hidden_size=256,
    intermediate_size=704,
    num_hidden_layers=8,
    num_attention_heads=8,
    num_key_value_heads=4,
    max_position_embeddings=512,
)
CPU = torch.device("cpu")

Result = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Player:
    """A way to train: a method, an optimizer and its values, and how long; at its usual rate."""

    optimizer: dict[str, Any]
    method: str = "lora"
    rank: int = 4
    target: str = "all-linear"
    epochs: float = 1.0

    def configuration(self, base: str, *, seed: int, batch_size: int) -> Configuration:
        """Return it as the worker is asked for it."""
        name = self.optimizer["name"]
        values_of_optimizer = defaults(OPTIMIZERS[name].parameters) | self.optimizer
        if OPTIMIZERS[name].has_learning_rate:
            rate = usual_rate(self.method, name, _profile(base))
            values_of_optimizer["learning_rate"] = rate
        values = defaults(METHODS[self.method].parameters)
        if self.method == "lora":
            values |= {"r": self.rank, "lora_alpha": 2 * self.rank}
        return Configuration.model_validate(
            {
                "method": {"name": self.method, **values},
                "target_modules": self.target,
                "optimizer": values_of_optimizer,
                "schedule": {"name": "linear"},
                "batch_size": batch_size,
                "epochs": self.epochs,
                "max_length_tokens": LENGTH_TOKENS,
                "precision": "bf16",
                "seed": seed,
            }
        )


POPULATIONS = ("cma", "fireworks")
# Chosen on trec_qc with one seed: the sigma of 0.1, 0.3, 1 and 3.
SEARCH = {"population": 8, "sigma": 0.3, "intrinsic_dimension": 64}
CALLS = 80
PLAYERS = {
    "cma": Player(optimizer={"name": "cma", **SEARCH}, rank=16, target="qk", epochs=CALLS),
    "fireworks": Player(
        optimizer={"name": "fireworks", **SEARCH}, rank=16, target="qk", epochs=CALLS
    ),
    "mezo": Player(optimizer={"name": "mezo"}, epochs=30),
    "adamw": Player(optimizer={"name": "adamw"}, epochs=10),
}


MEMORY_PLAYERS = {
    "adamw, lora": PLAYERS["adamw"],
    "cma, lora": Player(optimizer={"name": "cma", "population": 4}, target="qk"),
    "fireworks, lora": Player(optimizer={"name": "fireworks", "population": 4}, target="qk"),
    "mezo, lora": PLAYERS["mezo"],
    "mezo, full": Player(optimizer={"name": "mezo"}, method="full"),
}


@dataclass(frozen=True)
class Shots:
    """A task of k labels: as many examples of each to train on, to choose by and to score on."""

    labels: tuple[str, ...]
    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: tuple[Example, ...]


def shots(file: Path, *, seed: int) -> Shots:
    """Return a task's examples, drawn by the seed; those to score on are the same for all."""
    of_label = defaultdict(list)
    with file.open("rb") as lines:
        for example in dict.fromkeys(read_examples(lines)):
            of_label[example.completion].append(example)
    least = 2 * A_CLASS + TEST_A_CLASS
    labels = tuple(sorted(label for label, found in of_label.items() if len(found) >= least))
    parts: tuple[list[Example], ...] = ([], [], [])
    for label in labels:
        rest, end = of_label[label][:-TEST_A_CLASS], of_label[label][-TEST_A_CLASS:]
        drawn = Random(seed).sample(rest, 2 * A_CLASS)
        for part, some in zip(parts, (drawn[:A_CLASS], drawn[A_CLASS:], end), strict=True):
            part.extend(some)
    return Shots(labels, *(tuple(part) for part in parts))


def _profile(base: str) -> ModelProfile:
    config = json.loads((Path(resolve_model(base)) / "config.json").read_text())
    return profile_model(config, id="base")


def train(name: str, base_name: str, file: Path, seed: int) -> Result:
    """Return what training a player on a task came to, the best checkpoint by its own examples."""
    torch.set_num_threads(1)
    player, task = PLAYERS[name], shots(file, seed=seed)
    whole = OPTIMIZERS[player.optimizer["name"]].kind == "population"
    batch_size = len(task.train) if whole else A_CLASS
    asked = player.configuration(base_name, seed=seed, batch_size=batch_size)
    base = load_base(base_name, asked, CPU)
    encoded = asked_for_labels((task.train, task.dev, task.test), base)

    def judge(part: int) -> ExampleScores:
        return score(learner.model, encoded[part], base.tokenizer, batch_size=ROWS)

    learner = learner_of(base.model, asked)
    ledger = Ledger(report=lambda measurement, progress: None)
    request = RunRequest(
        base_model=base_name,
        train=task.train,
        validation=task.dev,
        test=task.test,
        configuration=asked,
        evaluations=CHECKPOINTS,
    )
    trainer = TRAINERS[OPTIMIZERS[asked.optimizer.name].kind]
    plan = fit_memory(learner, encoded[0], request, ledger, micro_batch_size=ROWS, trainer=trainer)
    checkpoints = train_all(
        learner,
        plan,
        request,
        ledger,
        validate=lambda: judge(1).loss,
        on_step=lambda taken: None,
        trainer=trainer,
    )
    checkpoints.load(checkpoints.best)
    return {
        **_told(name, file, seed, task, judge(2)),
        "dev_loss": checkpoints.best.loss,
        "step": checkpoints.best.step,
        "curve": [round(one.value, 4) for one in ledger.curve if one.name == "loss"],
        "steps": ledger.steps,
        "train_seconds": ledger.training.seconds,
        "configuration": asked.model_dump(mode="json"),
    }


def frozen(base_name: str, file: Path) -> Result:
    """Return what the base model knows before any training."""
    torch.set_num_threads(1)
    task = shots(file, seed=0)
    asked = PLAYERS["adamw"].configuration(base_name, seed=0, batch_size=1)
    base = load_base(base_name, asked, CPU)
    (encoded,) = asked_for_labels((task.test,), base)
    scores = score(base.model, encoded, base.tokenizer, batch_size=ROWS)
    return _told(FROZEN, file, 0, task, scores)


def asked_for_labels(parts: Sequence[Sequence[Example]], base: Base) -> list[list[Tokens]]:
    """Return prompts with the number of their label; have the model choose among labels only.

    What a label is told by is its first token; as an input its number is seen by no other.
    """
    starts = [[_to_label(example, base.tokenizer) for example in part] for part in parts]
    labels = sorted({tokens.ids[-1] for part in starts for tokens in part})
    head = base.model.get_output_embeddings()
    rows = nn.Linear(head.in_features, len(labels), bias=False, dtype=head.weight.dtype)
    rows.weight = nn.Parameter(head.weight[labels].clone(), requires_grad=False)
    base.model.set_output_embeddings(rows)
    return [
        [replace(one, ids=(*one.ids[:-1], labels.index(one.ids[-1]))) for one in part]
        for part in starts
    ]


def _to_label(example: Example, tokenizer: Any) -> Tokens:
    tokens = encode(example, tokenizer, max_length_tokens=LENGTH_TOKENS)
    end = tokens.is_completion.index(True) + 1
    return Tokens(tokens.ids[:end], tokens.is_completion[:end])


def learner_of(model: Any, asked: Configuration) -> Learner:
    """Return a model with the method on it, as the worker makes it."""
    torch.manual_seed(asked.seed)
    model = add_adapter(model, asked)
    prepare(model, asked)
    return Learner(model, trainable(model), "completion", padding_id=0)


def _told(name: str, file: Path, seed: int, task: Shots, scores: ExampleScores) -> Result:
    return {
        "part": "quality",
        "player": name,
        "task": file.stem,
        "seed": seed,
        "loss": scores.loss,
        "accuracy": scores.exact_match,
        "classes": len(task.labels),
        "test_examples": len(task.test),
    }


def memory(name: str) -> Result:
    """Return the peak of live tensors in two rehearsed steps, or in plain inference."""
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(MEMORY_MODEL).requires_grad_(False)
    parameters = sum(weight.numel() for weight in model.parameters())
    player = MEMORY_PLAYERS.get(name, PLAYERS["adamw"])
    asked = player.configuration(SHIPPED, seed=0, batch_size=MEMORY_ROWS)
    asked = asked.model_copy(update={"precision": "fp32"})
    learner = learner_of(model, asked)
    rows = torch.randint(MEMORY_MODEL.vocab_size, (MEMORY_ROWS, MEMORY_TOKENS)).tolist()
    examples = [Tokens(tuple(row), (False,) * (len(row) - 8) + (True,) * 8) for row in rows]
    trainer = TRAINERS[OPTIMIZERS[asked.optimizer.name].kind]
    if name == INFERENCE:
        peak = _inference_bytes(learner, examples)
    else:
        plan = trainer.plan(examples, asked, micro_batch_size=MEMORY_ROWS)
        peak = rehearse(learner, plan, asked, trainer=trainer, rows=MEMORY_ROWS)
    return {"part": "memory", "player": name, "peak_bytes": peak, "parameters": parameters}


def _inference_bytes(learner: Learner, examples: Sequence[Tokens]) -> int:
    learner.model.eval()
    with TensorMeter() as meter:
        meter.add(learner.model.parameters())
        meter.add(learner.model.buffers())
        nats_of(learner, learner.collate(examples))
    return int(meter.peak_bytes)


def main() -> int:
    """Do what is not done yet and print the table; 1 where what must hold does not."""
    options = _parse()
    done: list[Result] = []
    if options.output.exists():
        done = list(json.loads(options.output.read_text())["results"])
    for work in _work(options):
        if not any(_is(result, work) for result in done):
            done.append(_do(work, options))
            _keep(options.output, done, base=Path(options.base).name)
            print(f"{len(done)} done", file=sys.stderr)
    told = [result for result in done if result["part"] == "memory" or result["task"] in TASKS]
    return 0 if _print_memory(told) & _print_quality(told) else 1


def _work(options: argparse.Namespace) -> Iterator[tuple[str, str, str, int]]:
    for name in (INFERENCE, *MEMORY_PLAYERS):
        yield "memory", name, "", 0
    for task in options.tasks:
        yield "quality", FROZEN, task, 0
    for seed in SEEDS:
        for task in options.tasks:
            for name in options.players:
                yield "quality", name, task, seed


def _is(result: Result, work: tuple[str, str, str, int]) -> bool:
    return (
        result["part"],
        result["player"],
        result.get("task", ""),
        result.get("seed", 0),
    ) == work


def _do(work: tuple[str, str, str, int], options: argparse.Namespace) -> Result:
    part, name, task, seed = work
    if part == "memory":
        return memory(name)
    file, base = options.data / f"{task}.jsonl", options.base
    return frozen(base, file) if name == FROZEN else train(name, base, file, seed)


def _keep(output: Path, done: list[Result], *, base: str) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial")
    partial.write_text(json.dumps({"base": base, "results": done}, indent=1) + "\n")
    partial.replace(output)


def _print_memory(done: Sequence[Result]) -> bool:
    """Print the peaks; say whether populations take half of AdamW's and MeZO inference's."""
    peaks = {one["player"]: one["peak_bytes"] for one in done if one["part"] == "memory"}
    print(f"{'peak of live tensors':<22}{'MiB':>8}{'of inference':>14}{'of LoRA + AdamW':>17}")
    for name, peak in peaks.items():
        shares = (peak / peaks[INFERENCE], peak / peaks["adamw, lora"])
        print(f"{name:<22}{peak / 2**20:>8.1f}{shares[0]:>14.2f}{shares[1]:>17.2f}")
    populations = (peaks["cma, lora"], peaks["fireworks, lora"])
    mezo = (peaks["mezo, lora"], peaks["mezo, full"])
    half, little_more = 0.5 * peaks["adamw, lora"], 1.1 * peaks[INFERENCE]
    return bool(max(populations) <= half and max(mezo) <= little_more)


def _print_quality(done: Sequence[Result]) -> bool:
    """Print losses and accuracies; say whether searches beat the base and ln k everywhere."""
    runs = [one for one in done if one["part"] == "quality"]
    found = defaultdict(list)
    for one in runs:
        found[one["task"], one["player"]].append(one)
    print(f"\n{'task':<18}{'player':<14}{'seeds':>6}{'loss':>16}{'ln k':>7}{'accuracy':>10}")
    holds = True
    for (task, name), some in sorted(found.items()):
        losses = [one["loss"] for one in some]
        spread = stdev(losses) if len(losses) > 1 else 0.0
        chance = log(some[0]["classes"])
        print(
            f"{task:<18}{name:<14}{len(some):>6}{mean(losses):>9.3f} ± {spread:.3f}{chance:>7.3f}"
            f"{mean(one['accuracy'] for one in some):>10.3f}"
        )
        if name in (*POPULATIONS, "mezo"):
            base = found[task, FROZEN][0]["loss"]
            holds &= mean(losses) < min(base, chance)
    return holds


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What training without gradients costs and gives.")
    here = Path(__file__).parent
    parser.add_argument("--data", type=Path, required=True, help="folder of TASK.jsonl")
    parser.add_argument("--base", default=SHIPPED, metavar="MODEL", help="id or folder")
    parser.add_argument("--output", type=Path, default=here / "results" / "derivative_free.json")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), metavar="TASK")
    parser.add_argument("--players", nargs="*", default=list(PLAYERS), metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
