"""Contexts of training examples before each text: CPT's, with the loss on their labels; cartridges.

Axes: V tokens of the context.

Paper: Blau et al., arXiv:2410.17222. Types of tokens are PEFT's: four an example, its third and
first for templates, which our examples do not tell apart from inputs.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, cycle
from typing import Any

import peft
import torch
from peft.tuners.cartridge.utils import initialize_kv_prefix_from_past_key_values
from torch.nn import functional

from training_worker.data import IGNORED, Batch
from training_worker.setting import Setting

TYPES, INPUT, LABEL = 4, 2, 4  # types of an example's tokens, and two of them


def choose_context(batches: Sequence[Batch], count: int) -> list[tuple[int, int]]:
    """Return so many tokens of examples, and each one's type.

    The shortest come first, so that most are whole, and again where they are too few; of the last
    the end may be missing.

    Raises:
        ValueError: There are no examples.
    """
    examples = sorted(chain.from_iterable(map(_examples, batches)), key=len)
    if not any(examples):
        raise ValueError("the context is made of examples of the training data, and there are none")
    typed: list[tuple[int, int]] = []
    for number, example in enumerate(cycle(examples)):
        if len(typed) >= count:
            break
        kinds = (TYPES * number + (LABEL if is_label else INPUT) for _, is_label in example)
        typed += zip((token for token, _ in example), kinds, strict=True)
    return typed[:count]


def _examples(batch: Batch) -> Iterator[list[tuple[int, bool]]]:
    """Yield each example's tokens without padding, and whether they are its label.

    An example that is foreseen from its start on has no label: its tokens are all inputs, as a
    context with none to learn would have nothing to train.
    """
    rows = zip(batch.input_ids_BL, batch.attention_mask_BL, batch.labels_BL, strict=True)
    for ids_L, mask_L, labels_L in rows:
        length = int(mask_L.sum())
        is_label_L = labels_L[:length] != IGNORED
        is_label_L = is_label_L & ~is_label_L[1:].all()
        yield list(zip(ids_L[:length].tolist(), is_label_L.tolist(), strict=True))


def context_loss(model: Any) -> torch.Tensor:
    """Return the mean nats of the context's labels, the last example's counting most.

    PEFT takes it from a pass of its own loss, and averages over these labels and the text's
    together; here each has its mean. An example's weight is the decay to the power of how many
    come after it, the text among them.
    """
    config = model.active_peft_config
    types_V = torch.tensor(config.cpt_tokens_type_mask, device=model.device)
    ids_V = torch.tensor(config.cpt_token_ids, device=model.device)
    prompt = model.get_prompt(batch_size=1).to(model.dtype)
    logits = model.base_model(inputs_embeds=prompt, use_cache=False).logits[0, :-1].float()
    nats = functional.cross_entropy(logits, ids_V[1:], reduction="none")
    is_label = types_V[1:] % TYPES == 0
    weights = config.opt_loss_decay_factor ** ((types_V.max() - types_V[1:]) // TYPES + 1)
    loss: torch.Tensor = (nats * weights * is_label).sum() / is_label.sum().clamp(min=1)
    return loss


def add_cartridge(model: Any, config: Any, setting: Setting) -> Any:
    """Return the model with a prefix of the keys and values that it has for training examples.

    The paper starts from the text that is to be learnt, and so does this.

    Paper: Eyuboglu et al., arXiv:2506.06266; its training data, made by asking the model about
    the text, are the user's here.
    """
    tokens = [token for token, _ in choose_context(setting.batches, config.num_virtual_tokens)]
    with torch.no_grad():
        ids = torch.tensor([tokens], device=model.device)
        cache = model.eval()(input_ids=ids, use_cache=True).past_key_values
    adapted = peft.get_peft_model(model, config)
    initialize_kv_prefix_from_past_key_values(adapted, past_key_values=cache)
    return adapted
