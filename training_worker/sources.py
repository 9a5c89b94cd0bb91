"""What methods are given of the model and the data, beside what `givens` says in a line."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from training_worker.data import Batch


def attention_name(model: Any) -> str:
    """Return the end of the names of the attention modules."""
    named = model.named_modules()
    name = next(name for name, module in named if type(module).__name__.endswith("Attention"))
    return str(name).rpartition(".")[2]


def embedding_name(model: Any) -> str:
    """Return the end of the name of the table of input embeddings."""
    table = model.get_input_embeddings()
    name: str = next(name for name, module in model.named_modules() if module is table)
    return name.rpartition(".")[2]


def frequent_tokens(model: Any, batches: Sequence[Batch], count: int) -> list[int]:
    """Return the commonest tokens of the data seen, then by their numbers those not seen."""
    seen: Counter[int] = Counter()
    for batch in batches:
        seen.update(batch.input_ids_BL[batch.attention_mask_BL.bool()].tolist())
    every = range(model.get_input_embeddings().num_embeddings)
    return sorted(sorted(every, key=lambda token: (-seen[token], token))[:count])
