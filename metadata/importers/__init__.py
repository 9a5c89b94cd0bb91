"""The table of importers: past runs of other tools as ours. One file each, tried in this order."""

from collections.abc import Mapping

from metadata.importers import (
    huggingface_trainer,
    mlflow_store,
    own_parquet,
    peft_comparison,
    results_folder,
    tables,
    wandb_run,
)
from metadata.importers.spec import ImporterSpec

IMPORTERS: Mapping[str, ImporterSpec] = {
    spec.name: spec
    for spec in (
        own_parquet.SPEC,
        peft_comparison.SPEC,
        huggingface_trainer.SPEC,
        wandb_run.SPEC,
        results_folder.SPEC,
        mlflow_store.SPEC,
        tables.CSV,
        tables.PARQUET,
    )
}
