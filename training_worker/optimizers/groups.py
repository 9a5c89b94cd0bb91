"""The groups of weights that an optimizer is built over."""

from typing import Any

Groups = list[dict[str, Any]]
"""Groups `{names, params}`, with `weight_decay` where it is not the optimizer's."""


def unnamed(groups: Groups) -> Groups:
    """Return the groups as torch's optimizers take them."""
    return [{key: value for key, value in group.items() if key != "names"} for group in groups]


def split(groups: Groups, is_first: list[list[bool]]) -> tuple[Groups, Groups]:
    """Return the groups of the weights that are marked and of the others, none of them empty."""
    return _marked(groups, is_first, value=True), _marked(groups, is_first, value=False)


def are_on_cuda(groups: Groups) -> bool:
    """Say whether all weights are on an NVIDIA GPU."""
    return all(weight.is_cuda for group in groups for weight in group["params"])


def _marked(groups: Groups, marks: list[list[bool]], *, value: bool) -> Groups:
    found: Groups = []
    for group, marked in zip(groups, marks, strict=True):
        chosen = [index for index, mark in enumerate(marked) if mark is value]
        if chosen:
            named = {key: [group[key][index] for index in chosen] for key in ("names", "params")}
            found.append(group | named)
    return found
