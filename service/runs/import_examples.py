"""What the description of the import route shows."""

from typing import Any

_FIELDS: dict[str, Any] = {
    "file": {
        "type": "string",
        "format": "binary",
        "description": "CSV, Parquet, JSON, SQLite store of MLflow, or a zip of a folder",
    },
    "format": {"type": "string", "description": "an importer's name; found where left out"},
    "map": {"type": "string", "description": "lines ours=theirs, such as learning_rate=lr"},
    "model": {"type": "string", "description": "id of the base model of all runs"},
    "device": {"type": "string", "description": "what all runs ran on"},
    "dataset_file_id": {"type": "string", "description": "training file of all runs"},
    "check": {"type": "boolean", "description": "learn from the new runs at once"},
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": ["file"], "properties": _FIELDS},
                "example": {
                    "file": "model,method,rank,lr,accuracy\ngpt2,lora,8,0.0002,0.81\n",
                    "map": "learning_rate=lr",
                },
            }
        },
    }
}
ANSWER: dict[str, Any] = {
    "object": "import",
    "report": {
        "found": 1,
        "importers": {"csv": 1},
        "guessed": [
            {
                "what": "the batch size is not told: 1 stands for it",
                "runs": 1,
                "first": "runs.csv, row 2",
            }
        ],
        "refused": [{"where": "runs.csv, row 3", "reason": "it is still under way."}],
        "refused_count": 1,
        "left_aside": [],
        "left_aside_count": 0,
    },
    "kept": {
        "added": 1,
        "unchanged": 0,
        "teaching": 0,
        "before": {"runs": 4210, "models": 6, "datasets": 58, "methods": 60},
        "after": {"runs": 4211, "models": 7, "datasets": 59, "methods": 60},
    },
    "learning": "None of the 1 new runs says all that learning needs.",
    "refit": None,
}
