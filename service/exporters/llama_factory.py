"""A YAML file for LLaMA-Factory."""

import json

from metadata.parameters import number
from service.exporters import hugging_face
from service.exporters.source import VALIDATION_SHARE, Source
from service.exporters.spec import Carries, Exporter, Keys, lacks_of
from service.exporters.writing import yaml_file

_LORA_KEYS: dict[str, Keys] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "pissa": {"pissa_init": True, "pissa_iter": 16, "pissa_convert": True},
}
_BITS = {"none": None, "int8": 8, "nf4": 4}
_ATTENTION = {"sdpa": "sdpa", "eager": "disabled", "flash_attention_2": "fa2"}
CARRIES = Carries(
    methods=[*_LORA_KEYS, "oft", "full"],
    optimizers=hugging_face.OPTIMIZERS,
    schedules=hugging_face.SCHEDULES,
    records=("messages", "prompt_completion"),  # its stage for text joins texts end to end
)
DATASET = "train"
_BARE = "fewshot"  # the one template without tags that trains the end token
_COLUMNS: dict[str, Keys] = {
    "messages": {
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    },
    "prompt_completion": {"columns": {"prompt": "prompt", "response": "completion"}},
}


def lacks(source: Source) -> list[str]:
    """Return what LLaMA-Factory has no key for."""
    found, values = lacks_of(source, CARRIES), source.configuration.method.values
    if source.method.name == "oft" and values["block_share"]:
        found.append("block_share true of oft")
    return found


def notes(source: Source) -> list[str]:
    """Say how to run it, and what differs."""
    info = {DATASET: {"file_name": source.data.name, **_COLUMNS[source.data.records]}}
    said = [
        hugging_face.launch(
            source,
            f"llamafactory-cli train {EXPORTER.file_name}",
            f"FORCE_TORCHRUN=1 NPROC_PER_NODE={source.shared_devices} llamafactory-cli train "
            f"{EXPORTER.file_name}",
        ),
        "It finds the data by a file dataset_info.json beside the data, which says: "
        + json.dumps(info),
        *hugging_face.notes(source),
    ]
    if source.data.records == "prompt_completion":
        said.append(
            "Prompt and completion are joined as they stand; Peftwise puts a space between them "
            "where neither has one. Two line ends stand here before the end token; of the "
            "templates without tags the other trains no end token."
        )
    return said


def write(source: Source, lines: list[str]) -> str:
    """Return the file."""
    return yaml_file(keys(source), lines)


def keys(source: Source) -> Keys:
    """Return the keys of the file."""
    one = source.configuration
    bits = _BITS[one.quantization]
    ratio = hugging_face.optimizer_keys(source).get("loraplus_lr_ratio")
    values = hugging_face.schedule_values(source, with_stable=True)
    return {
        "model_name_or_path": source.model.id,
        "flash_attn": _ATTENTION[one.attention],
        "stage": "sft",
        "do_train": True,
        **_method(source),
        **({} if ratio is None else {"loraplus_lr_ratio": ratio}),
        **({} if bits is None else {"quantization_bit": bits, "quantization_method": "bnb"}),
        **({"quantization_type": "nf4", "double_quantization": False} if bits == 4 else {}),
        "dataset": DATASET,
        "dataset_dir": ".",
        **({"template": _BARE} if source.data.records == "prompt_completion" else {}),
        "cutoff_len": one.max_length_tokens,
        "train_on_prompt": one.loss_on == "all",
        "packing": False,
        "val_size": VALIDATION_SHARE if source.keeps_best else 0.0,
        **hugging_face.training(source, devices=source.shared_devices),
        **({"lr_scheduler_kwargs": values} if values else {}),
        "optim": hugging_face.OPTIMIZERS[one.optimizer.name],
        **_precision(source),
        "disable_gradient_checkpointing": not one.gradient_checkpointing,
        "use_reentrant_gc": False,
    }


def _precision(source: Source) -> Keys:
    if source.configuration.precision == "fp32":
        return {"bf16": False}
    return {"pure_bf16": True} if source.method.trains_base else {"bf16": True}


def _method(source: Source) -> Keys:
    name, values = source.method.name, source.configuration.method.values
    if name == "full":
        return {"finetuning_type": "full"}
    ends = source.endings
    targets = "all" if isinstance(ends, str) else ",".join(ends)
    if name == "oft":
        return {
            "finetuning_type": "oft",
            "oft_rank": 0,
            "oft_block_size": values["oft_block_size"],
            "oft_target": targets,
        }
    return {
        "finetuning_type": "lora",
        "lora_rank": values["r"],
        "lora_alpha": values["lora_alpha"],
        "lora_dropout": number(values, "lora_dropout"),
        "lora_target": targets,
        **_LORA_KEYS[name],
    }


EXPORTER = Exporter(
    name="llama-factory",
    title="LLaMA-Factory",
    file_name="llama_factory.yaml",
    media_type="application/yaml",
    lacks=lacks,
    notes=notes,
    write=write,
)
