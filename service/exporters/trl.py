"""A Python script that trains with TRL's SFTTrainer."""

from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS
from service.exporters import hugging_face
from service.exporters.hugging_face import DTYPES
from service.exporters.peft_arguments import config_arguments, config_class, reason_against
from service.exporters.source import VALIDATION_SHARE, Source
from service.exporters.spec import (
    Carries,
    Exporter,
    Keys,
    lacks_of,
    optimizer_class,
    optimizer_values,
)
from service.exporters.writing import Code, call, comment

# Named to the trainer; the class of any other is handed to it.
_NAMED = ("adamw", "adamw_8bit")
_CALLS = {
    "adalora": "it moves its ranks by calls that the trainer does not make",
    "kasa": "a part of its loss is for the training loop to add",
    "adaption_prompt": "TRL's loss does not go through it",
}
# What PEFT saves of these is what their encoder makes, so that no encoder goes on from it.
NOT_RESUMED = ("p_tuning", "prefix_tuning_mlp")
_REASONS = {
    name: reason_against(name) or _CALLS.get(name, "")
    for name in METHODS
    if name != "full" and (reason_against(name) or name in _CALLS)
}
CARRIES = Carries(
    methods=[name for name in METHODS if name not in _REASONS],
    optimizers=[name for name in OPTIMIZERS if optimizer_class(name)],
    schedules=hugging_face.SCHEDULES,
    by_method=_REASONS,
)
# Starts that move a part of the base into the adapter, which PEFT takes off again when it saves.
MOVED_BASE = "training_worker.starts.from_moved_base"

DATA_LINES = '''\
def join(example: dict) -> dict:
    """Put a space between a prompt and a completion that have none."""
    prompt, completion = example["prompt"], example["completion"]
    is_bare = prompt and not prompt[-1].isspace() and not completion[:1].isspace()
    return {"completion": " " + completion if is_bare else completion}


data = load_dataset("json", data_files=DATA, split="train")
is_chat = "messages" in data.column_names
has_prompt = "prompt" in data.column_names
if has_prompt:
    data = data.map(join)
'''
_SPLIT = "parts = data.train_test_split(test_size={share}, seed={seed})\n"


def lacks(source: Source) -> list[str]:
    """Return what the trainer cannot do as the configuration says it."""
    found = lacks_of(source, CARRIES)
    if source.keeps_best and source.method.name in NOT_RESUMED:
        found.append(f"keep best of {source.method.name}, whose checkpoints cannot be gone on from")
    return found


def notes(source: Source) -> list[str]:
    """Say how to run it, and what differs."""
    script, count = EXPORTER.file_name, source.shared_devices
    many = f"accelerate launch --num_processes {count} {script}"
    said = [
        hugging_face.launch(source, f"python {script}", many),
        "It needs trl 1.16, peft 0.21 and datasets, and what it imports beside them.",
        *hugging_face.notes(source),
    ]
    if source.configuration.quantization != "none":
        said.append("TRL keeps the adapter of a quantised base in bf16, Peftwise in fp32.")
    return said


def write(source: Source, lines: list[str]) -> str:
    """Return the script."""
    blocks = [
        comment(lines) + "\n" + _imports(source),
        names(source),
        DATA_LINES + data_split(source),
        f"arguments = {call('SFTConfig', arguments(source))}\n",
        _model(source),
        f"trainer = {call('SFTTrainer', _trainer(source))}\n" + _training(source),
    ]
    return "\n".join(blocks)


def names(source: Source) -> str:
    """Return the lines that say what is trained on what; the adapter's start is seeded too."""
    return (
        f"MODEL = {source.model.id!r}\nDATA = {source.data.name!r}  # JSON Lines\n"
        f"set_seed({source.configuration.seed})\n\n"
    )


def data_split(source: Source) -> str:
    """Return the lines that hold examples out, where the best checkpoint is kept."""
    if not source.keeps_best:
        return ""
    return _SPLIT.format(share=VALIDATION_SHARE, seed=source.configuration.seed)


def arguments(source: Source) -> Keys:
    """Return the arguments of SFTConfig."""
    one = source.configuration
    on_completion = one.loss_on == "completion"
    named = hugging_face.OPTIMIZERS[one.optimizer.name] if one.optimizer.name in _NAMED else None
    return {
        **hugging_face.training(source, devices=source.shared_devices),
        **({"optim": named} if named else {}),
        "max_length": one.max_length_tokens,
        "completion_only_loss": Code("has_prompt") if on_completion else False,
        "assistant_only_loss": Code("is_chat") if on_completion else False,
        "packing": False,
        "bf16": False,  # the model itself is in its precision, and the adapter in fp32
        "gradient_checkpointing": one.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    }


def trainer_data(source: Source) -> Keys:
    """Return the arguments by which a trainer is given its data."""
    if not source.keeps_best:
        return {"train_dataset": Code("data")}
    return {"train_dataset": Code('parts["train"]'), "eval_dataset": Code('parts["test"]')}


def _trainer(source: Source) -> Keys:
    keys = {"model": Code("model"), "args": Code("arguments"), **trainer_data(source)}
    if not source.method.trains_base:
        keys["peft_config"] = Code("method")
    if source.configuration.optimizer.name not in _NAMED:
        keys["optimizer_cls_and_kwargs"] = Code(f"({_class(source)}, {_class_values(source)!r})")
    return keys


def _class(source: Source) -> str:
    name = optimizer_class(source.configuration.optimizer.name)
    assert name is not None
    return name


def _class_values(source: Source) -> Keys:
    learning_rate = source.configuration.optimizer.learning_rate
    rate = {} if learning_rate is None else {"lr": learning_rate}
    return rate | optimizer_values(source)


def _imports(source: Source) -> str:
    is_named = source.configuration.optimizer.name in _NAMED
    package = "torch" if is_named else _class(source).partition(".")[0]
    plain = sorted({"torch", package})
    return (
        "".join(f"import {name}\n" for name in plain)
        + "from datasets import load_dataset\n"
        + ("" if source.method.trains_base else f"from peft import {config_class(source)}\n")
        + "from transformers import AutoModelForCausalLM"
        + (", BitsAndBytesConfig" if source.configuration.quantization != "none" else "")
        + ", set_seed\nfrom trl import SFTConfig, SFTTrainer\n"
    )


def _model(source: Source) -> str:
    one = source.configuration
    keys = {
        "dtype": Code(f"torch.{DTYPES[one.precision]}"),
        "attn_implementation": one.attention,
    }
    if one.quantization != "none":
        four_bits = one.quantization == "nf4"
        config = {"load_in_4bit": four_bits, "load_in_8bit": not four_bits}
        if four_bits:
            config |= {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "bfloat16"}  # type: ignore[dict-item]
        keys["quantization_config"] = Code(call("BitsAndBytesConfig", config, indent=4))
    loaded = call("AutoModelForCausalLM.from_pretrained", keys).replace("(\n", "(\n    MODEL,\n", 1)
    text = f"model = {loaded}\n"
    if source.method.trains_base:
        return text
    return text + f"method = {call(config_class(source), config_arguments(source))}\n"


def _training(source: Source) -> str:
    if source.method.injector != MOVED_BASE:
        return "trainer.train()\ntrainer.save_model()\n"
    start = f"{source.name}-start"
    return (
        f"trainer.model.peft_config['default'].init_lora_weights = True\n"
        f"trainer.model.save_pretrained({start!r})  # what saving takes off again\n"
        "trainer.train()\n"
        "trainer.model.save_pretrained(\n"
        f"    arguments.output_dir, path_initial_model_for_weight_conversion={start!r}\n"
        ")\n"
    )


EXPORTER = Exporter(
    name="trl",
    title="TRL's SFTTrainer",
    file_name="train_trl.py",
    media_type="text/x-python",
    lacks=lacks,
    notes=notes,
    write=write,
)
