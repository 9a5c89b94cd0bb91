"""What looking at ten thousand fresh configurations takes of an answer, and what it changes.

    python benchmarks/screening.py [--repeats 20] [--json FILE]

Each question is of one base model, device and budget, on 1,000 examples, and is asked of the
shipped knowledge in this process, without HTTP: `recommend_latency.py` measures the whole answer.
A column each:

- looked at, fit: configurations of the pool, and those of the methods that are asked for and
  within memory and time by their plans;
- ranked, fresh: all that are forecast in full, and those of the pool among them;
- screen ms, answer ms: median and 95th of a hundred, warm, of the screen and of the ranked answer;
- without, with: the regret expected of the first configuration, from what is ranked without the
  pool and with it;
- listed: how many of the answer's configurations come from the pool.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from recommend_latency import questions

from metadata.knowledge import SHIPPED_KNOWLEDGE, Knowledge
from metadata.pool import draw_pool
from service.recommender.aim import aim_at
from service.recommender.question import Question, build_question
from service.recommender.ranking import rank
from service.recommender.recommend import Recommendation, recommend
from service.recommender.schemas import RecommendationRequest
from service.recommender.screen import find_pool, fitting, screen

ASKED: Mapping[str, Mapping[str, Any]] = {
    "135 M, L40S": {"base_model": {"id": "HuggingFaceTB/SmolLM2-135M"}},
    "135 M, CPU": {
        "base_model": {"id": "HuggingFaceTB/SmolLM2-135M"},
        "hardware": {"device": "cpu"},
    },
    "3 B, L40S": {},
    "3 B, L40S, 5 minutes": {"budget": {"train_minutes": 5}},
    "3 B, LoRA alone": {"methods": ["lora"]},
    "8 B, 30 GiB": {"base_model": {"id": "Qwen/Qwen3-8B"}, "budget": {"memory_gib": 30}},
    "14 B, H200": {
        "base_model": {"id": "Qwen/Qwen2.5-14B"},
        "hardware": {"device": "NVIDIA H200"},
    },
}


def main() -> int:
    """Measure, print a table, write JSON where asked."""
    arguments = _parse()
    known = Knowledge.load(SHIPPED_KNOWLEDGE)
    start = time.perf_counter()
    draw_pool(known.methods, known.optimizers)
    drawing_seconds = time.perf_counter() - start
    usual = questions()["profile"]
    found = {
        name: measure(_question({**usual, **changed}), known, repeats=arguments.repeats)
        for name, changed in ASKED.items()
    }
    _print(found, drawing_seconds)
    if arguments.json is not None:
        content = {"drawing_seconds": drawing_seconds, "questions": found}
        arguments.json.write_text(json.dumps(content, indent=2) + "\n")
    return 0


def measure(question: Question, known: Knowledge, *, repeats: int) -> dict[str, float]:
    """Return the figures of one question."""
    aim = aim_at(question, known)
    methods = question.methods or known.methods
    pool = find_pool(known, methods)
    fits_P = fitting(pool, question, aim) & pool.are_of(methods, known.optimizers)

    def screened() -> object:
        return next(
            screen(question, known, aim, methods=methods, optimizers=known.optimizers), None
        )

    def answered() -> Recommendation:
        return recommend(question, known, rng=question.rng(known.version))

    screen_T, answer_T = _milliseconds(screened, repeats), _milliseconds(answered, repeats)
    answer = answered()
    fresh = np.array([one.source == "sample" for one in answer.candidates])
    regret_C = answer.forecast.regret
    return {
        "looked_at": len(pool.texts),
        "fit": int(fits_P.sum()),
        "ranked": len(answer.candidates),
        "fresh": int(fresh.sum()),
        "screen_median": float(np.median(screen_T)),
        "screen_p95": float(np.quantile(screen_T, 0.95)),
        "answer_median": float(np.median(answer_T)),
        "answer_p95": float(np.quantile(answer_T, 0.95)),
        "regret_without": float(regret_C[_first_without(answer, fresh, known)]),
        "regret_with": float(regret_C[answer.order[0]]),
        "listed": int(fresh[answer.order].sum()),
        "count": len(answer.order),
    }


def _first_without(answer: Recommendation, fresh_C: Any, known: Knowledge) -> int:
    """Return the row that is first where the pool is not looked at."""
    fits_C = answer.can_be_chosen & ~fresh_C
    order = rank(
        answer.question, answer.candidates, answer.forecast, fits_C, known, kind=answer.kind
    )
    return order[0]


def _milliseconds(work: Callable[[], object], repeats: int) -> list[float]:
    work()  # what is kept from question to question is there by then
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return times


def _question(content: Mapping[str, Any]) -> Question:
    return build_question(RecommendationRequest.model_validate(content))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What ten thousand candidates take and change.")
    parser.add_argument("--repeats", type=int, default=20, help="answers to each question")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def _print(found: Mapping[str, Mapping[str, float]], drawing_seconds: float) -> None:
    print(f"drawing the pool, once a process: {drawing_seconds:.1f} s")
    print(
        f"{'question':<22}{'looked at':>10}{'fit':>7}{'ranked':>8}{'fresh':>7}"
        f"{'screen ms':>14}{'answer ms':>14}{'without':>9}{'with':>7}{'listed':>8}"
    )
    for name, one in found.items():
        screened = f"{one['screen_median']:.0f}, {one['screen_p95']:.0f}"
        answered = f"{one['answer_median']:.0f}, {one['answer_p95']:.0f}"
        print(
            f"{name:<22}{one['looked_at']:>10,}{one['fit']:>7,}{one['ranked']:>8}{one['fresh']:>7}"
            f"{screened:>14}{answered:>14}{one['regret_without']:>9.3f}{one['regret_with']:>7.3f}"
            f"{one['listed']:>4} of {one['count']}"
        )


if __name__ == "__main__":
    sys.exit(main())
