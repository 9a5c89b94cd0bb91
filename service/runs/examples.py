"""Answers that the interface's description shows for runs."""

from typing import Any

from service.jobs.examples import CONFIGURATION

ID = "run-0a1b2c3d4e5f60718293a4b5"
POINT = {"name": "loss", "step": 20, "value": 2.31, "split": "validation"}
RUN: dict[str, Any] = {
    "id": ID,
    "object": "run",
    "created_at": "2026-01-01T00:00:41Z",
    "state": "succeeded",
    "reason": "",
    "score": 0.81,
    "configuration": CONFIGURATION,
    "scores": {"base_loss": 3.1, "best_loss": 2.29, "last_loss": 2.3, "exact_match": 0.4},
    "core": False,
    "note": "the loss jumps at step 200",
    "tags": ["paper"],
    "archived": False,
    "versions": {"torch": "2.13.0"},
    "origin": {"source": "worker", "detail": "ftjob-0a1b2c3d4e5f60718293a4b5"},
    "curve": [POINT],
}
FIELDS = {"object": "list", "data": [{"name": "score", "kind": "number"}], "has_more": False}
CURVE = {"object": "list", "run_id": ID, "data": [POINT], "has_more": False, "last_id": None}
COMPARISON = {
    "object": "comparison",
    "ids": [ID, "run-1"],
    "same": {"method": "lora"},
    "differs": {"rank": [8, 16]},
    "curves": [CURVE],
}
PARETO = {
    "object": "list",
    "cost": "train_seconds",
    "gain": "score",
    "data": [{"id": ID, "cost": 12.5, "gain": 0.81}],
    "has_more": False,
}
NOTE = {"note": "the loss jumps at step 200", "tags": ["paper"], "archived": True}
DELETED = {"id": ID, "object": "run", "deleted": True}
SEEDS = {
    "object": "list",
    "data": [
        {
            "dataset_name": "trec",
            "model_id": "peftwise-tiny",
            "device_name": "CPU",
            "method": "lora",
            "configuration_key": "8ace447c5db9ec36",
            "run_ids": [ID, "run-1"],
            "seeds": [0, 1],
            "scored": 2,
            "failed": 0,
            "mean": 2.03,
            "spread": 0.014,
            "lowest": 2.02,
            "highest": 2.04,
            "mean_train_seconds": 8.7,
        }
    ],
    "has_more": False,
    "groups": 1,
    "runs": 836,
    "noise": 0.014,
    "degrees_of_freedom": 1,
}
IMPORTANCE = {
    "object": "list",
    "data": [
        {
            "dataset": None,
            "runs": 832,
            "drawn_from": 832,
            "explained": 0.41,
            "knobs": [
                {
                    "name": "configuration.method.name",
                    "importance": 0.28,
                    "spread": 0.09,
                    "values": 6,
                    "runs": 832,
                }
            ],
            "advice": "",
        }
    ],
    "has_more": False,
}
FAILURES = {
    "object": "list",
    "data": [
        {
            "state": "timed_out",
            "reason": "Training must end within # s; step # of # ended at # s.",
            "example": "Training must end within 1 s; step 37 of 188 ended at 1.0 s.",
            "runs": 2,
            "methods": {"lora": 2},
            "run_ids": [ID],
        }
    ],
    "has_more": False,
    "runs": 836,
    "failed": 2,
    "methods": {"lora": {"runs": 463, "failed": 2}},
}
COVERAGE = {
    "object": "coverage",
    "runs": 836,
    "knobs": [
        {
            "name": "configuration.method.r",
            "entry": "lora",
            "runs": 463,
            "distinct": 30,
            "low": 1.0,
            "high": 64.0,
            "space_low": 1.0,
            "space_high": 256.0,
            "is_log": True,
            "values": {"8": 120, "16": 90},
            "unseen": [],
            "share": 0.75,
        }
    ],
    "methods": {"lora": {"runs": 463, "failed": 2, "scored": 461}},
    "untried_methods": ["boft"],
}
_COMPARED = {"expected": 12.0, "low": 9.0, "high": 16.0, "observed": 11.2, "inside": True}
PREDICTED = {
    "object": "list",
    "data": [
        {
            "run_id": ID,
            "job_id": "ftjob-0a1b2c3d4e5f60718293a4b5",
            "recommendation_id": "rec-5f1c0a9e",
            "rank": 1,
            "knowledge_version": "0f3c9a2b",
            "dataset_name": "trec",
            "model_id": "peftwise-tiny",
            "method": "lora",
            "state": "succeeded",
            "score": 0.81,
            "failure_probability": 0.01,
            "quantities": {"train_seconds": _COMPARED},
        }
    ],
    "has_more": False,
    "runs": 1,
    "held": {"train_seconds": {"runs": 1, "inside": 1, "median_ratio": 0.93}},
}
