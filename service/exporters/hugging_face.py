"""What the tools on transformers' trainer share: its arguments, by Peftwise's names."""

from collections.abc import Mapping

from metadata.parameters import number
from service.exporters.source import EVERY, VALIDATION_SHARE, Source
from service.exporters.spec import Keys

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
SCHEDULES: Mapping[str, str] = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant_with_warmup",
    "constant_with_cooldown": "warmup_stable_decay",
}
OPTIMIZERS: Mapping[str, str] = {
    "adamw": "adamw_torch",
    "adamw_8bit": "adamw_bnb_8bit",
    "lion": "lion_32bit",
    "lora_plus": "adamw_torch",  # beside a key of its own for B's rate
}
LION_BETA2 = 0.99  # as its paper has it; the trainer would take AdamW's
NO_CLIPPING = 0.0  # what the trainer reads as none


def optimizer_keys(source: Source) -> Keys:
    """Return the rate, the weight decay and what an optimizer needs beside its name."""
    choice = source.configuration.optimizer
    keys: Keys = {"learning_rate": choice.learning_rate, "weight_decay": choice.weight_decay}
    if choice.name == "lion":
        keys["adam_beta2"] = LION_BETA2
    if choice.name == "lora_plus":
        keys["loraplus_lr_ratio"] = number(choice.values, "loraplus_lr_ratio")
    return keys


def schedule_values(source: Source, *, steps: int | None = None, with_stable: bool = False) -> Keys:
    """Return what the schedule is given beside its name and its warm-up.

    Args:
        source: What is exported.
        steps: How many the tool takes, where it holds out other examples than the trainer does.
        with_stable: Whether the tool wants the steps between warm-up and decay too.
    """
    schedule = source.configuration.schedule
    if schedule.name != "constant_with_cooldown":
        return {}
    steps = source.data_steps if steps is None else steps
    after = steps - round(schedule.warmup_fraction * steps)
    decay = max(1, round(number(schedule.values, "cooldown_fraction") * after))
    stable = {"num_stable_steps": after - decay} if with_stable else {}
    return stable | {"num_decay_steps": decay, "decay_type": "linear", "min_lr_ratio": 0.0}


def warmup_steps(source: Source) -> int:
    """Return how many steps the warm-up takes."""
    return round(source.configuration.schedule.warmup_fraction * source.data_steps)


def largest_norm(source: Source) -> float:
    """Return the bound on the norm of all gradients."""
    return 1.0 if source.configuration.gradient_clipping == "global" else NO_CLIPPING


def keeping(source: Source) -> Keys:
    """Return the keys by which the best checkpoint or the last is kept."""
    if not source.keeps_best:
        return {"eval_strategy": "no", "save_strategy": "no"}
    return {
        "eval_strategy": "steps",
        "eval_steps": EVERY,
        "save_strategy": "steps",
        "save_steps": EVERY,
        "save_total_limit": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
    }


def training(source: Source, *, devices: int) -> Keys:
    """Return the keys of transformers' TrainingArguments."""
    one = source.configuration
    size, accumulation = source.batches(devices)
    values = schedule_values(source)
    rate = {key: value for key, value in optimizer_keys(source).items() if value is not None}
    rate.pop("loraplus_lr_ratio", None)
    return {
        "output_dir": source.name,
        "per_device_train_batch_size": size,
        "per_device_eval_batch_size": size,
        "gradient_accumulation_steps": accumulation,
        "num_train_epochs": one.epochs,
        **rate,
        "lr_scheduler_type": SCHEDULES[one.schedule.name],
        **({"lr_scheduler_kwargs": values} if values else {}),
        "warmup_steps": warmup_steps(source),
        "max_grad_norm": largest_norm(source),
        "seed": one.seed,
        "logging_steps": 1,
        "report_to": "none",
        **keeping(source),
    }


def notes(source: Source) -> list[str]:
    """Say what the trainer does a little otherwise than Peftwise's own worker."""
    one = source.configuration
    said = [
        f"A batch is {one.batch_size} examples. Peftwise holds out a tenth of the data to choose a "
        "checkpoint by and a tenth to test on; "
        + (
            f"here {VALIDATION_SHARE:.0%} are held out for the first, none for the second."
            if source.keeps_best
            else "here none are held out."
        ),
        "The warm-up starts from a rate of 0 here, one step below Peftwise's. Too long an example "
        "loses its end; in Peftwise the left of its prompt goes first.",
    ]
    if one.packing:
        said.append(
            "packing is off: tools count packed rows as the examples of a batch, Peftwise the "
            "examples in them. It changes how fast training is, not what is learnt."
        )
    if one.optimizer.weight_decay and source.method.trains_base:
        said.append("Weight decay leaves out biases and norms here.")
    return said


def launch(source: Source, command: str, many: str) -> str:
    """Say how a file is run."""
    count = source.shared_devices
    if count > 1:
        return f"Run it on {count} devices, which share a batch: {many}"
    alone = "" if source.devices == 1 else " on one device"
    return f"Run it{alone}: {command}"
