"""Questions that the API description shows."""

from typing import Any

QUESTIONS: dict[str, Any] = {
    "examples": {
        "summary": "Examples in the request",
        "value": {
            "base_model": {"id": "meta-llama/Llama-3.2-3B"},
            "dataset": {
                "examples": [
                    {"prompt": "Capital of France?", "completion": "Paris"},
                    {"prompt": "Capital of Kenya?", "completion": "Nairobi"},
                ]
            },
            "hardware": {"device": "NVIDIA L40S"},
            "budget": {"train_minutes": 60},
            "count": 3,
        },
    },
    "file": {
        "summary": "An uploaded file and a price",
        "value": {
            "base_model": {"id": "Qwen/Qwen2.5-0.5B"},
            "dataset": {"file_id": "file-4f1c0a52"},
            "hardware": {"device": "NVIDIA L40S", "usd_per_hour": 0.9},
            "budget": {"usd": 5},
            "objective": "cheapest",
            "methods": ["lora", "dora"],
        },
    },
    "served": {
        "summary": "A result that vLLM can load as an adapter",
        "value": {
            "base_model": {"id": "Qwen/Qwen2.5-0.5B"},
            "dataset": {"file_id": "file-4f1c0a52"},
            "hardware": {"device": "NVIDIA L40S"},
            "serve_with": "vllm",
        },
    },
}

_VERSION: dict[str, Any] = {
    "version": "0f1e2d3c4b5a6978",
    "object": "knowledge",
    "is_current": True,
    "is_shipped": True,
    "runs": 812,
    "tasks": 24,
    "datasets": 16,
    "models": ["peftwise-tiny"],
    "held_out": {
        "datasets": 16,
        "ours": {"1": 0.31, "2": 0.22, "4": 0.15, "8": 0.09, "16": 0.04},
        "portfolio": {"1": 0.33, "2": 0.24, "4": 0.16, "8": 0.1, "16": 0.05},
        "kinds": {
            "peft": {
                "datasets": 16,
                "ours": {"1": 0.17, "2": 0.15, "4": 0.03, "8": 0.01, "16": 0.0},
                "portfolio": {"1": 0.21, "2": 0.2, "4": 0.07, "8": 0.01, "16": 0.0},
                "trust": 0.5,
            }
        },
    },
}
KNOWLEDGE: dict[str, Any] = {
    "object": "list",
    "data": [_VERSION],
    "has_more": False,
    "last_id": None,
}
CALIBRATION: dict[str, Any] = {
    "object": "calibration",
    "version": "0f1e2d3c4b5a6978",
    "datasets": 14,
    "count": 560,
    "mean_miss": 0.24,
    "bins": [{"count": 71, "forecast": 0.49, "observed": 0.49, "low": 0.23, "high": 0.8}],
    "coverage": [{"level": 0.9, "observed": 0.892}],
}
REFIT: dict[str, Any] = {
    "object": "refit",
    "activated": True,
    "reason": (
        "The new version is not worse: mean regret of the first answer on 16 datasets left out is "
        "0.309, it was 0.310."
    ),
    "before": {**_VERSION, "is_current": False},
    "after": {**_VERSION, "version": "8796a5b4c3d2e1f0", "is_shipped": False, "runs": 813},
}
_CHOICE: dict[str, Any] = {
    "configuration": {
        "method": {"name": "lora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0},
        "target_modules": "all-linear",
        "optimizer": {"name": "adamw", "learning_rate": 0.00036, "weight_decay": 0.0},
        "schedule": {"name": "linear", "warmup_fraction": 0.03},
        "batch_size": 8,
        "epochs": 3.0,
        "max_length_tokens": 256,
        "loss_on": "completion",
        "precision": "bf16",
        "quantization": "none",
        "gradient_checkpointing": False,
        "packing": False,
        "attention": "sdpa",
        "keep": "best",
        "seed": 0,
    },
    "train_seconds": {"expected": 190.0, "low": 130.0, "high": 280.0},
    "cost_usd": None,
    "trainable_parameters": 24313856,
    "micro_batch_size": 8,
    "accumulation_steps": 1,
    "steps": 300,
    "fits": True,
}
ANSWER: dict[str, Any] = {
    "id": "rec-0a1b2c3d4e5f60718293a4b5",
    "object": "recommendation",
    "training_objective": "supervised",
    "created_at": "2026-01-01T00:00:00Z",
    "configurations": [
        {
            "rank": 1,
            **_CHOICE,
            "quality": {
                "expected_regret": 0.4,
                "low": 0.0,
                "high": 1.3,
                "beats_default_probability": 0.7,
            },
            "peak_memory_bytes": {
                "expected": 13500000000.0,
                "low": 12100000000.0,
                "high": 16200000000.0,
            },
            "pareto": True,
            "why": {
                "source": "rule",
                "nearest_runs": [
                    {
                        "run_id": "run-0a1b2c3d4e5f60718293a4b5",
                        "dataset": "rivers",
                        "model": "peftwise-tiny",
                        "score": 1.2,
                        "regret": 0.1,
                        "distance": 2.4,
                    }
                ],
                "effects": [{"choice": "learning_rate", "value": "0.00036", "regret_change": -0.1}],
            },
        }
    ],
    "default": {
        "rank": 0,
        **_CHOICE,
        "quality": {
            "expected_regret": 0.5,
            "low": 0.0,
            "high": 1.4,
            "beats_default_probability": 0.5,
        },
        "peak_memory_bytes": {
            "expected": 13500000000.0,
            "low": 12100000000.0,
            "high": 16200000000.0,
        },
        "pareto": False,
        "why": {"source": "default", "nearest_runs": [], "effects": []},
    },
    "front": [
        {
            "rank": 1,
            "configuration": _CHOICE["configuration"],
            "expected_regret": 0.4,
            "train_seconds": _CHOICE["train_seconds"],
            "peak_memory_bytes": {
                "expected": 13500000000.0,
                "low": 12100000000.0,
                "high": 16200000000.0,
            },
            "cost_usd": None,
        }
    ],
    "evidence": {
        "runs": 812,
        "tasks": 24,
        "distance": 5.1,
        "in_distribution": False,
        "farthest": ["model size: 2,100 times the largest known"],
        "advice": (
            "The nearest evidence is far: its base model is 2,000 times smaller. Run the first two "
            "configurations and feed the results back: the next answer then stands on your own "
            "task."
        ),
    },
    "excluded": [
        {
            "rule": "the result loads in vLLM as an adapter; that of DoRA, IA3 does not",
            "count": 21,
            "next_step": "Leave serve_with out, or ask for merged weights, to let them in.",
        },
        {
            "rule": "training time, upper forecast, at most 60 minutes",
            "count": 12,
            "next_step": (
                "The least of them needs 64.1 minutes. Raise budget.train_minutes, take a faster "
                "device or fewer examples."
            ),
        },
    ],
    "knowledge_version": "0f1e2d3c4b5a6978",
}
