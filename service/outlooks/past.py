"""Losses of past runs on the same data, or parts of it."""

import re
from collections.abc import Callable

from metadata.browsing import Browser, View
from metadata.features.task import trained_on
from metadata.objectives import objective_of
from metadata.records import DatasetProfile
from service.outlooks.schemas import SmallRun
from service.runs.parameters import equal_to

FIELDS = ["task.dataset.name", "task.dataset.sha256", "task.dataset.examples", "scores.best_loss"]
PastLosses = Callable[[DatasetProfile, str], list[SmallRun]]
SIZE = re.compile(r"-\d+$")  # what campaigns end the name of a part with: trec_qc-40


def losses_of(browser: Browser) -> PastLosses:
    """Return where past runs on the same data, or parts of it, are looked up.

    Parts share the data's group and, but for the size at its end, its name: the datasets of one
    generator are one group too. An uploaded file is a group of its own, so its parts are not found:
    their losses are given in `runs` of the request.
    """

    def past(data: DatasetProfile, model_id: str) -> list[SmallRun]:
        where = equal_to(
            {
                "model_id": model_id,
                "state": "succeeded",
                "objective.name": objective_of(data.kind),
                "dataset_group": data.group,
            }
        )
        found = browser.columns(View(filter=where), FIELDS)
        return [
            SmallRun(model=model_id, examples=trained_on(int(examples)), loss=float(loss))
            for _, name, sha256, examples, loss in found
            if loss and _is_part(data, name=name, sha256=sha256)
        ]

    return past


def _is_part(data: DatasetProfile, *, name: str, sha256: str) -> bool:
    return sha256 == data.sha256 or SIZE.sub("", name) == SIZE.sub("", data.name)
