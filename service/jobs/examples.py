"""Requests and answers that the interface's description shows for jobs and their attempts."""

from fastapi.openapi.models import Example

CONFIGURATION = {
    "method": {"name": "lora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0},
    "target_modules": "all-linear",
    "optimizer": {"name": "adamw", "learning_rate": 2e-4, "weight_decay": 0.0},
    "schedule": {"name": "linear", "warmup_fraction": 0.05},
    "batch_size": 8,
    "epochs": 3.0,
}
_FILE = "file-3b9f0c1d2e4a5b6c7d8e9f00"
_JOB = "ftjob-0a1b2c3d4e5f60718293a4b5"
ORDERS = {
    "recommender": Example(
        summary="Let the recommender choose",
        value={"model": "peftwise-tiny", "training_file": _FILE},
    ),
    "recommendation": Example(
        summary="The second rank of an answer given before",
        value={
            "model": "peftwise-tiny",
            "training_file": _FILE,
            "peft": {"recommendation_id": "rec-5f1c0a9e", "rank": 2},
        },
    ),
    "configuration": Example(
        summary="A configuration of your own",
        value={
            "model": "peftwise-tiny",
            "training_file": _FILE,
            "suffix": "support",
            "seed": 1,
            "peft": {"configuration": CONFIGURATION},
        },
    ),
    "openai": Example(
        summary="OpenAI's own hyperparameters: twice the recommended rate",
        value={
            "model": "peftwise-tiny",
            "training_file": _FILE,
            "method": {
                "type": "supervised",
                "supervised": {
                    "hyperparameters": {"n_epochs": "auto", "learning_rate_multiplier": 2.0}
                },
            },
        },
    ),
    "dpo": Example(
        summary="DPO on a file of preferences",
        value={
            "model": "peftwise-tiny",
            "training_file": _FILE,
            "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}},
        },
    ),
    "served": Example(
        summary="What the recommender chooses, as plain weights of the model",
        value={
            "model": "peftwise-tiny",
            "training_file": _FILE,
            "peft": {"serve_with": "merged"},
        },
    ),
}
_CHOSEN = {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.0}
JOB = {
    "id": _JOB,
    "object": "fine_tuning.job",
    "model": "peftwise-tiny",
    "status": "running",
    "created_at": 1767225600,
    "finished_at": None,
    "estimated_finish": 1767225660,
    "error": None,
    "fine_tuned_model": None,
    "trained_tokens": 20480,
    "training_file": _FILE,
    "validation_file": None,
    "hyperparameters": _CHOSEN,
    "method": {"type": "supervised", "supervised": {"hyperparameters": _CHOSEN}},
    "seed": 0,
    "metadata": None,
    "result_files": [],
    "organization_id": "local",
    "integrations": [],
    "peft": {
        "configuration": CONFIGURATION,
        "objective": {"name": "supervised", "beta": None},
        "chosen_by": "recommender",
        "why": "The recommender put it first for this model, data and machine.",
        "suffix": None,
        "recommendation_id": "rec-5f1c0a9e",
        "rank": 1,
        "progress": 0.4,
        "attempts": 1,
        "priority": 0,
        "retries": 0,
        "checkpoint_step": 16,
        "forecast_seconds": 41.0,
        "max_seconds": None,
        "serve_with": "vllm",
        "started_at": 1767225602,
        "run_id": None,
        "curve": [{"name": "loss", "step": 20, "value": 2.31, "split": "validation"}],
    },
}
JOB_LIST = {"object": "list", "data": [JOB], "has_more": False, "first_id": _JOB, "last_id": _JOB}
_EVENT = {
    "id": f"{_JOB}-2",
    "object": "fine_tuning.job.event",
    "created_at": 1767225602,
    "level": "info",
    "type": "message",
    "message": "Started: a worker has claimed the job.",
    "data": {"state": "running"},
}
JOB_EVENTS = {
    "object": "list",
    "data": [_EVENT],
    "has_more": True,
    "first_id": f"{_JOB}-2",
    "last_id": f"{_JOB}-2",
}
_CHECKPOINT = {
    "id": "ftckpt-0a1b2c3d4e5f60718293a4b5-00000016-1",
    "object": "fine_tuning.job.checkpoint",
    "created_at": 1767225640,
    "fine_tuned_model_checkpoint": "ft:peftwise-tiny:peftwise:8293a4b5:ckpt-step-16",
    "fine_tuning_job_id": _JOB,
    "step_number": 16,
    "metrics": {"step": 16, "train_loss": 2.4, "valid_loss": 2.3},
}
CHECKPOINT_LIST = {
    "object": "list",
    "data": [_CHECKPOINT],
    "has_more": False,
    "first_id": _CHECKPOINT["id"],
    "last_id": _CHECKPOINT["id"],
}
DELETED = {"id": _JOB, "object": "fine_tuning.job", "deleted": True}
LOG = {
    "object": "fine_tuning.job.log",
    "job_id": _JOB,
    "text": "2026-01-01 00:00:02 peftwise-tiny loaded\n",
    "is_cut": False,
}
_CODE = "the-one-use-code-that-the-server-handed-over"
CLAIMS = {"claim": Example(summary="Claim by code", value={"code": _CODE})}
ASSIGNMENT = {
    "attempt_id": "attempt-00112233445566778899aabb",
    "token": "1.told-this-once",
    "job_id": _JOB,
    "base_model": "peftwise-tiny",
    "model_path": None,
    "validation_file": False,
    "configuration": CONFIGURATION,
    "objective": {"name": "supervised", "beta": None},
    "serve_with": "vllm",
    "limits": {"train_seconds": None, "memory_bytes": None},
    "generation": 1,
    "checkpoint_folder": None,
    "checkpoint_mark": "",
    "checkpoint_seconds": 60.0,
    "renew_seconds": 15.0,
}
REPORTS = {
    "report": Example(
        summary="A validation loss",
        value={
            "number": 1,
            "measurements": [{"name": "loss", "step": 20, "value": 2.31, "split": "validation"}],
            "trained_tokens": 20480,
            "progress": 0.4,
        },
    )
}
RELEASES = {
    "stopped": Example(
        summary="Stopped by the system, with a checkpoint",
        value={"reason": "The worker was asked to stop.", "is_loss": False},
    )
}
OUTCOMES = {
    "diverged": Example(
        summary="A run that diverged",
        value={"state": "diverged", "reason": "The training loss was NaN at step 31."},
    )
}
