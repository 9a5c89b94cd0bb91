"""`adapter_config.json`, as PEFT's own `from_pretrained` reads it."""

import json

from service.exporters.peft_arguments import config_arguments, config_type, reason_against
from service.exporters.source import Source
from service.exporters.spec import Exporter


def lacks(source: Source) -> list[str]:
    """Return the method where no config of PEFT's holds it, and targets without a name."""
    reason = reason_against(source.method.name)
    if reason:
        return [f"the method {source.method.name} ({reason})"]
    if source.method.uses_target_modules and not source.has_targets:
        return [
            f"target_modules {source.configuration.target_modules} of the family "
            f"{source.model.family}, whose names are not known here"
        ]
    return []


def notes(source: Source) -> list[str]:
    """Say what the file is not about."""
    said = [
        "The file says the method alone; the rest is for whoever trains: "
        + source.configuration.model_dump_json(exclude={"method"})
    ]
    if source.method.name == "adalora":
        said.append("Call model.base_model.update_and_allocate(step) before each zero_grad.")
    if source.method.name == "kasa":
        said.append("Add model.base_model._get_kasa_loss() to the loss of each step.")
    return said


def write(source: Source, lines: list[str]) -> str:
    """Return the config; JSON has no comments, and PEFT warns of keys that it does not know."""
    del lines
    keys = {
        "peft_type": config_type(source),
        "base_model_name_or_path": source.model.id,
        "inference_mode": False,
        **config_arguments(source),
    }
    return json.dumps(keys, indent=2, sort_keys=True) + "\n"


EXPORTER = Exporter(
    name="peft",
    title="PEFT",
    file_name="adapter_config.json",
    media_type="application/json",
    lacks=lacks,
    notes=notes,
    write=write,
)
