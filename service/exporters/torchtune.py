"""A YAML file for torchtune's recipe `lora_finetune_single_device`."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from metadata.architectures import ROLES
from metadata.optimizers import OPTIMIZERS
from metadata.parameters import number
from service.exporters import hugging_face
from service.exporters.source import Source
from service.exporters.spec import (
    Carries,
    Exporter,
    Keys,
    lacks_of,
    optimizer_class,
    optimizer_values,
)
from service.exporters.writing import yaml_file

# Called by the recipe with an optimizer, num_training_steps and last_epoch beside its keys.
_SCHEDULES = {
    "cosine": "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup",
    "linear": "transformers.optimization.get_linear_schedule_with_warmup",
    "constant_with_cooldown": "transformers.optimization.get_wsd_schedule",
}
CARRIES = Carries(
    methods=("lora", "dora"),
    optimizers=[name for name in OPTIMIZERS if optimizer_class(name)],
    schedules=_SCHEDULES,
    quantizations=("none", "nf4"),
)
_ATTENTION_MAPS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "output_proj"}
_CHAT = {"conversation_column": "messages", "conversation_style": "openai"}
_INSTRUCT = {"column_map": {"input": "prompt", "output": "completion"}}


@cache
def _models() -> Mapping[str, Any]:
    text = (files("service.exporters") / "data" / "torchtune.json").read_text(encoding="utf-8")
    models: Mapping[str, Any] = json.loads(text)["models"]
    return models


def lacks(source: Source) -> list[str]:
    """Return what the recipe has no key for."""
    one, found = source.configuration, lacks_of(source, CARRIES)
    if source.model.id not in _models():
        found.append(f"the base model {source.model.id}, for which it has no such config")
    if not _attention_maps(source):
        found.append(f"target_modules {one.target_modules} without one of attention's")
    if one.epochs > 1 and not one.epochs.is_integer():
        found.append(f"{one.epochs:g} epochs, which must be a whole number")
    return found


def notes(source: Source) -> list[str]:
    """Say how to run it, and what differs."""
    one = source.configuration
    said = [
        f"First: tune download {source.model.id} --output-dir {_folder(source)}",
        f"Run it: tune run lora_finetune_single_device --config {EXPORTER.file_name}",
        f"A batch is {one.batch_size} examples, on one device. The adapter is in {one.precision} "
        "too, where Peftwise has it in fp32. Steps that a whole batch does not fill are left out.",
        "Too long an example loses its end; in Peftwise the left of its prompt goes first.",
        f"Attention is torch's own, where Peftwise has {one.attention}. No examples are held out "
        f"here, and every epoch leaves a checkpoint: for the {one.keep} one, choose among them.",
    ]
    if source.data.records == "prompt_completion":
        said.append("Prompt and completion get the model's chat tags; Peftwise has none there.")
    if _SCHEDULES[one.schedule.name].startswith("transformers"):
        said.append("It needs the package transformers beside torchtune, for the schedule.")
    if one.packing:
        said.append(
            "packing is off: packed rows count as examples here. It changes how fast training is, "
            "not what is learnt."
        )
    return said


def write(source: Source, lines: list[str]) -> str:
    """Return the file."""
    return yaml_file(keys(source), lines)


def keys(source: Source) -> Keys:
    """Return the keys of the file."""
    one = source.configuration
    size, accumulation = source.batches()
    clips = one.gradient_clipping == "global"
    return {
        "output_dir": source.name,
        "model": _model(source),
        "tokenizer": _tokenizer(source),
        "checkpointer": _checkpointer(source),
        "resume_from_checkpoint": False,
        "save_adapter_weights_only": True,
        "dataset": _dataset(source),
        "seed": one.seed,
        "shuffle": True,
        "batch_size": size,
        "gradient_accumulation_steps": accumulation,
        **_epochs(source),
        "optimizer": _optimizer(source),
        "lr_scheduler": _schedule(source),
        "loss": {"_component_": "torchtune.modules.loss.CEWithChunkedOutputLoss"},
        "clip_grad_norm": 1.0 if clips else None,
        "compile": False,
        "device": "cuda",
        "dtype": one.precision,
        "enable_activation_checkpointing": one.gradient_checkpointing,
        "enable_activation_offloading": False,
        "metric_logger": {
            "_component_": "torchtune.training.metric_logging.DiskLogger",
            "log_dir": f"{source.name}/logs",
        },
        "log_every_n_steps": 1,
        "log_peak_memory_stats": True,
    }


def _folder(source: Source) -> str:
    return f"models/{source.model.id.rpartition('/')[2]}"


def _attention_maps(source: Source) -> list[str]:
    roles = ROLES[source.configuration.target_modules]
    return [name for role, name in _ATTENTION_MAPS.items() if role in roles]


def _model(source: Source) -> Keys:
    one = source.configuration
    values = one.method.values
    return {
        "_component_": _models()[source.model.id]["model"],
        "lora_attn_modules": _attention_maps(source),
        "apply_lora_to_mlp": "up" in ROLES[one.target_modules],
        "lora_rank": values["r"],
        "lora_alpha": values["lora_alpha"],
        "lora_dropout": number(values, "lora_dropout"),
        "use_dora": one.method.name == "dora",
        "quantize_base": one.quantization == "nf4",
    }


def _tokenizer(source: Source) -> Keys:
    own: Keys = _models()[source.model.id]["tokenizer"]
    paths = {k: v if k == "_component_" else f"{_folder(source)}/{v}" for k, v in own.items()}
    return paths | {"max_seq_len": source.configuration.max_length_tokens}


def _checkpointer(source: Source) -> Keys:
    own: Keys = _models()[source.model.id]["checkpointer"]
    return own | {
        "checkpoint_dir": _folder(source),
        "recipe_checkpoint": None,
        "output_dir": source.name,
    }


def _dataset(source: Source) -> Keys:
    kinds: dict[str, Keys] = {
        "messages": {"_component_": "torchtune.datasets.chat_dataset", **_CHAT},
        "prompt_completion": {"_component_": "torchtune.datasets.instruct_dataset", **_INSTRUCT},
        "text": {"_component_": "torchtune.datasets.text_completion_dataset", "column": "text"},
    }
    file = {"source": "json", "data_files": source.data.name, "split": "train"}
    on_input = {"train_on_input": source.configuration.loss_on == "all"}
    is_text = source.data.records == "text"
    return kinds[source.data.records] | file | ({} if is_text else on_input) | {"packed": False}


def _optimizer(source: Source) -> Keys:
    choice = source.configuration.optimizer
    rate = {} if choice.learning_rate is None else {"lr": choice.learning_rate}
    decay = {"weight_decay": choice.weight_decay}
    component = {"_component_": optimizer_class(choice.name)}
    return component | rate | decay | optimizer_values(source)


def _schedule(source: Source) -> Keys:
    schedule, steps = source.configuration.schedule, source.steps_in(1.0)
    return {
        "_component_": _SCHEDULES[schedule.name],
        "num_warmup_steps": round(schedule.warmup_fraction * steps),
        **hugging_face.schedule_values(source, steps=steps),
    }


def _epochs(source: Source) -> Keys:
    epochs = source.configuration.epochs
    if epochs < 1:
        return {"epochs": 1, "max_steps_per_epoch": source.steps_in(1.0)}
    return {"epochs": int(epochs), "max_steps_per_epoch": None}


EXPORTER = Exporter(
    name="torchtune",
    title="torchtune",
    file_name="torchtune.yaml",
    media_type="application/yaml",
    lacks=lacks,
    notes=notes,
    write=write,
)
