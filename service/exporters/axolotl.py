"""A YAML file for axolotl."""

from metadata.parameters import number
from service.exporters import hugging_face
from service.exporters.source import VALIDATION_SHARE, Source
from service.exporters.spec import Carries, Exporter, Keys, lacks_of
from service.exporters.writing import yaml_file

_LORA_KEYS: dict[str, Keys] = {
    "lora": {},
    "rslora": {"peft_use_rslora": True},
    "dora": {"peft_use_dora": True},
    "lora_gaussian": {"peft_init_lora_weights": "gaussian"},
    "lora_orthogonal": {"peft_init_lora_weights": "orthogonal"},
}
CARRIES = Carries(
    methods=[*_LORA_KEYS, "full"],
    optimizers=hugging_face.OPTIMIZERS,
    schedules=hugging_face.SCHEDULES,
)


def lacks(source: Source) -> list[str]:
    """Return what axolotl has no key for."""
    return lacks_of(source, CARRIES)


def notes(source: Source) -> list[str]:
    """Say how to run it, and what differs."""
    said = [
        hugging_face.launch(
            source,
            f"axolotl train {EXPORTER.file_name}",
            f"axolotl train {EXPORTER.file_name} --num-processes {source.shared_devices}",
        ),
        *hugging_face.notes(source),
    ]
    if source.data.records == "prompt_completion":
        said.append(
            "A space stands between prompt and completion here, as Peftwise puts it where neither "
            "has one; take it out of `format` where they have."
        )
    return said


def write(source: Source, lines: list[str]) -> str:
    """Return the file."""
    return yaml_file(keys(source), lines)


def keys(source: Source) -> Keys:
    """Return the keys of the file."""
    one = source.configuration
    devices = source.shared_devices
    size, accumulation = source.batches(devices)
    values = hugging_face.schedule_values(source)
    return {
        "base_model": source.model.id,
        **_quantization(source),
        **_method(source),
        "datasets": [_dataset(source)],
        "val_set_size": VALIDATION_SHARE if source.keeps_best else 0,
        "train_on_inputs": one.loss_on == "all",
        "output_dir": source.name,
        "sequence_len": one.max_length_tokens,
        "excess_length_strategy": "truncate",
        "sample_packing": False,
        "attn_implementation": one.attention,
        "micro_batch_size": size,
        "gradient_accumulation_steps": accumulation,
        "num_epochs": one.epochs,
        "optimizer": hugging_face.OPTIMIZERS[one.optimizer.name],
        **hugging_face.optimizer_keys(source),
        "lr_scheduler": hugging_face.SCHEDULES[one.schedule.name],
        **({"lr_scheduler_kwargs": values} if values else {}),
        "warmup_steps": hugging_face.warmup_steps(source),
        "max_grad_norm": hugging_face.largest_norm(source),
        "bf16": one.precision == "bf16",
        "tf32": False,
        **({"float32": True} if one.precision == "fp32" else {}),
        "gradient_checkpointing": one.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        **hugging_face.keeping(source),
        "logging_steps": 1,
        "seed": one.seed,
    }


def _quantization(source: Source) -> Keys:
    kind = source.configuration.quantization
    return {"load_in_8bit": kind == "int8", "load_in_4bit": kind == "nf4"}


def _method(source: Source) -> Keys:
    one = source.configuration
    if one.method.name == "full":
        return {}
    values = one.method.values
    return {
        "adapter": "qlora" if one.quantization == "nf4" else "lora",
        "lora_r": values["r"],
        "lora_alpha": values["lora_alpha"],
        "lora_dropout": number(values, "lora_dropout"),
        **(
            {"lora_target_linear": True}
            if isinstance(source.endings, str)
            else {"lora_target_modules": source.endings}
        ),
        **_LORA_KEYS[one.method.name],
    }


def _dataset(source: Source) -> Keys:
    file = {"path": source.data.name, "ds_type": "json"}
    if source.data.records == "messages":
        roles = ["assistant"] if source.configuration.loss_on == "completion" else None
        trained = {"roles_to_train": roles, "train_on_eos": "turn"} if roles else {}
        return file | {"type": "chat_template", "field_messages": "messages"} | trained
    if source.data.records == "text":
        return file | {"type": "completion", "field": "text"}
    return file | {
        "type": {
            "field_instruction": "prompt",
            "field_output": "completion",
            "format": "{instruction} ",
            "no_input_format": "{instruction} ",
        }
    }


EXPORTER = Exporter(
    name="axolotl",
    title="axolotl",
    file_name="axolotl.yaml",
    media_type="application/yaml",
    lacks=lacks,
    notes=notes,
    write=write,
)
