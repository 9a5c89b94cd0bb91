"""A byte-level BPE tokenizer with chat roles, learnt from the corpus itself."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from training_worker.tasks.text import CHAT_END, CHAT_ROLES

END_OF_TEXT = "<|endoftext|>"
PADDING = "<|pad|>"
SPECIAL = (END_OF_TEXT, PADDING, *(f"<|{role}|>" for role in CHAT_ROLES), CHAT_END)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}" + CHAT_END + "\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def learn_tokenizer(texts: Iterable[str], *, vocabulary: int) -> Tokenizer:
    """Return a tokenizer of at most `vocabulary` pieces; every byte is one of them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def as_transformers(tokenizer: Tokenizer, *, context_tokens: int) -> PreTrainedTokenizerFast:
    """Return the tokenizer as `AutoTokenizer` loads it, with its chat template."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=PADDING,
        additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=context_tokens,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """Return the id of a special token."""
    token_id = tokenizer.token_to_id(token)
    assert token_id is not None, f"{token} is missing from the tokenizer"
    return int(token_id)
