"""Bodies and an answer that the interface's description shows."""

from typing import Any

from service.datasets.schemas import DatasetCheckRequest

_FILE_ID = "file-3b9f0c1d2e4a5b6c7d8e9f00"
BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": DatasetCheckRequest.model_json_schema(),
                "example": {"file_id": _FILE_ID, "model": "peftwise-tiny"},
            },
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "JSONL"},
                        "validation_file_id": {"type": "string"},
                        "model": {"type": "string"},
                    },
                },
                "example": {
                    "model": "peftwise-tiny",
                    "file": '{"prompt": "Capital of France?", "completion": "Paris",}\n',
                },
            },
        },
    }
}
ANSWER: dict[str, Any] = {
    "object": "dataset_check",
    "problems": [
        {
            "part": "training",
            "line": 3,
            "column": 55,
            "severity": "error",
            "rule": "trailing-comma",
            "message": "JSON has no comma before a closing bracket or at the end of a line.",
            "seen": '": "Paris",}',
            "times": 1,
            "fix": "Remove the comma; --fix does.",
            "is_repaired": False,
        }
    ],
    "has_more": False,
    "summary": {
        "verdict": "errors",
        "size_bytes": 10_240,
        "lines": 120,
        "examples": 120,
        "validation_examples": None,
        "forms": {"prompt_completion": 120},
        "tokens": {
            "total": 2410,
            "mean": 20.1,
            "longest": 38,
            "longest_line": 71,
            "counted_by": "the tokenizer of peftwise-tiny",
            "is_estimated": False,
            "context_tokens": 512,
        },
        "counts": [{"rule": "trailing-comma", "severity": "error", "lines": 1}],
        "repaired": 0,
        "is_complete": True,
        "notes": [
            "Tokens are those of prompts and answers; a chat template adds some for each turn."
        ],
    },
}
