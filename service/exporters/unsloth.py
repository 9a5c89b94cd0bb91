"""A Python script that trains with unsloth, by TRL's SFTTrainer."""

from metadata.architectures import family_of
from metadata.parameters import number
from service.exporters import hugging_face, trl
from service.exporters.source import Source
from service.exporters.spec import Carries, Exporter, Keys, lacks_of
from service.exporters.writing import Code, call, comment

_LORA_KEYS: dict[str, Keys] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "lora_gaussian": {"init_lora_weights": "gaussian"},
}
FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2")
CARRIES = Carries(
    methods=[*_LORA_KEYS, "full"],
    optimizers=("adamw", "adamw_8bit"),
    schedules=hugging_face.SCHEDULES,
)


def lacks(source: Source) -> list[str]:
    """Return what unsloth has no argument for."""
    found = lacks_of(source, CARRIES)
    if source.model.family not in FAMILIES:
        found.append(f"the model family {source.model.family}, of which it has no fast form")
    return found


def notes(source: Source) -> list[str]:
    """Say how to run it, and what differs."""
    return [
        f"Run it on one NVIDIA GPU: python {EXPORTER.file_name}",
        *hugging_face.notes(source),
        f"unsloth chooses how attention is computed; asked is {source.configuration.attention}.",
    ]


def write(source: Source, lines: list[str]) -> str:
    """Return the script."""
    given = {
        "model": Code("model"),
        "processing_class": Code("tokenizer"),
        "args": Code("arguments"),
        **trl.trainer_data(source),
    }
    blocks = [
        comment(lines) + "\nfrom unsloth import FastLanguageModel  # before trl, which it changes\n"
        "import torch\nfrom datasets import load_dataset\nfrom transformers import set_seed\n"
        "from trl import SFTConfig, SFTTrainer\n",
        trl.names(source),
        trl.DATA_LINES + trl.data_split(source),
        _model(source),
        f"arguments = {call('SFTConfig', arguments(source))}\n",
        f"trainer = {call('SFTTrainer', given)}\ntrainer.train()\ntrainer.save_model()\n",
    ]
    return "\n".join(blocks)


def arguments(source: Source) -> Keys:
    """Return the arguments of SFTConfig, for one device."""
    one = trl.arguments(source) | hugging_face.training(source, devices=1)
    for unsloths_own in ("gradient_checkpointing", "gradient_checkpointing_kwargs"):
        del one[unsloths_own]
    return one | {"bf16": source.configuration.precision == "bf16"}


def loading(source: Source) -> Keys:
    """Return the arguments of FastLanguageModel.from_pretrained."""
    one = source.configuration
    return {
        "model_name": Code("MODEL"),
        "max_seq_length": one.max_length_tokens,
        "dtype": Code(f"torch.{hugging_face.DTYPES[one.precision]}"),
        "load_in_4bit": one.quantization == "nf4",
        "load_in_8bit": one.quantization == "int8",
        "full_finetuning": source.method.trains_base,
        "use_gradient_checkpointing": one.gradient_checkpointing,
        "use_exact_model_name": True,
        "random_state": one.seed,
    }


def adapting(source: Source) -> Keys:
    """Return the arguments of FastLanguageModel.get_peft_model."""
    one = source.configuration
    values = one.method.values
    modules = family_of(source.model).modules
    ends = {name.rpartition(".")[2] for name, _ in modules if name in source.endings}
    return {
        "r": values["r"],
        "target_modules": sorted(ends),
        "lora_alpha": values["lora_alpha"],
        "lora_dropout": number(values, "lora_dropout"),
        "bias": "none",
        "use_gradient_checkpointing": one.gradient_checkpointing,
        "random_state": one.seed,
        **_LORA_KEYS[one.method.name],
    }


def _model(source: Source) -> str:
    loaded = call("FastLanguageModel.from_pretrained", loading(source))
    text = f"model, tokenizer = {loaded}\n"
    if source.method.trains_base:
        return text
    adapted = call("FastLanguageModel.get_peft_model", adapting(source))
    return text + "model = " + adapted.replace("(\n", "(\n    model,\n", 1) + "\n"


EXPORTER = Exporter(
    name="unsloth",
    title="unsloth",
    file_name="train_unsloth.py",
    media_type="text/x-python",
    lacks=lacks,
    notes=notes,
    write=write,
)
