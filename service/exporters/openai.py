"""The body of a fine-tuning job in OpenAI's dialect, with Peftwise's own object `peft`."""

import json

from service.exporters.source import Source
from service.exporters.spec import Exporter
from service.exporters.writing import origin

_AUTO = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}


def lacks(source: Source) -> list[str]:
    """Return nothing: the object `peft` holds a whole configuration."""
    del source
    return []


def notes(source: Source) -> list[str]:
    """Say how to send it."""
    said = [
        "Send it: POST /v1/fine_tuning/jobs of a Peftwise server; with the openai package the key "
        "peft goes into extra_body. Its hyperparameters are auto, since peft says them.",
    ]
    if source.data.file_id is None:
        said.append(
            f"training_file: put there the id that POST /v1/files answers for {source.data.name}."
        )
    return said


def write(source: Source, lines: list[str]) -> str:
    """Return the body; metadata, which the dialect keeps as it is, says where it comes from."""
    del lines
    body = {
        "model": source.model.id,
        "training_file": source.data.file_id or source.data.name,
        "method": {"type": source.objective, source.objective: {"hyperparameters": _AUTO}},
        "seed": source.configuration.seed,
        "metadata": {"origin": origin(source)},
        "peft": {"configuration": source.configuration.model_dump(mode="json")},
    }
    return json.dumps(body, indent=2) + "\n"


EXPORTER = Exporter(
    name="openai",
    title="a fine-tuning job in OpenAI's dialect",
    file_name="fine_tuning_job.json",
    media_type="application/json",
    lacks=lacks,
    notes=notes,
    write=write,
)
