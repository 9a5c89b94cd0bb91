"""The picture of the recommender's benchmark: regret by runs, a line a player, a panel a kind."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

TITLES = {
    "free": "everything allowed",
    "peft": "adapters only",
    "memory": "half the memory",
    "time": "half the time",
}
NAMES = {
    "random": "random",
    "default": "default LoRA",
    "width_rule": "width rule",
    "openai_auto": "OpenAI's auto",
    "best_average": "best average",
    "portfolio": "greedy portfolio",
    "syne_tune_zero_shot": "Syne Tune zero-shot",
    "ours": "Peftwise",
}


def draw(path: Path, found: dict[str, Any]) -> None:
    """Write the picture."""
    figure, axes = plt.subplots(
        1, len(found), figsize=(3.2 * len(found), 3.0), sharey=True, squeeze=False
    )
    for axis, (kind, said) in zip(axes[0], found.items(), strict=True):
        for name, by_count in said["regret"].items():
            counts = [int(count) for count in by_count]
            is_ours = name == "ours"
            axis.plot(
                counts,
                list(by_count.values()),
                label=NAMES[name],
                marker="o",
                markersize=4 if is_ours else 2.5,
                linewidth=2.2 if is_ours else 1.1,
                color="#c2410c" if is_ours else None,
            )
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, [str(count) for count in counts])
        axis.set_title(TITLES[kind], fontsize=10)
        axis.set_xlabel("runs tried")
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("regret of the best so far")
    axes[0][-1].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
