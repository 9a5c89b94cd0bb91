"""Count the tokens of texts: by the model's own tokenizer where it is at hand, else by bytes."""

from pathlib import Path
from typing import Any, Protocol

from metadata.errors import InvalidRequest
from metadata.records import ModelProfile

USUAL_BYTES_PER_TOKEN = 4.0  # of English by usual vocabularies
EXACT_EXAMPLES = 20_000  # counted by a tokenizer one by one; then only those near the context


class TokenCounter(Protocol):
    """Counts tokens."""

    name: str
    is_estimate: bool

    def count(self, text: str) -> int:
        """Return how many tokens a text has, as near as is known."""


class ByteCounter:
    """Tokens from the length of a text in bytes."""

    is_estimate = True

    def __init__(self, model: ModelProfile | None = None) -> None:
        """Take the bytes per token of a model, or the usual ones."""
        self._ratio = USUAL_BYTES_PER_TOKEN if model is None else model.bytes_per_token
        whose = "a usual value" if model is None else f"the profile of {model.id}"
        self.name = f"{self._ratio:.3g} bytes per token, {whose}"

    def count(self, text: str) -> int:
        """Return an estimate, rounded up."""
        return -int(-len(text.encode()) // self._ratio)


class TokenizerCounter:
    """Tokens by a tokenizer, without special tokens and chat template.

    A token stands for at least one byte, so a text with fewer bytes than the context fits it. Of
    such ones the first 20,000 are counted, the rest follow from their bytes per token.
    """

    def __init__(self, tokenizer: Any, model: ModelProfile) -> None:
        """Count by a tokenizer of the library `tokenizers`."""
        self.name = f"the tokenizer of {model.id}"
        self.is_estimate = False
        self._tokenizer = tokenizer
        self._context_tokens = model.context_tokens
        self._left = 2 * EXACT_EXAMPLES  # texts: an example and its answer
        self._bytes = self._tokens = 0

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        size_bytes = len(text.encode())
        if self._left <= 0 and size_bytes <= self._context_tokens and self._bytes:
            self.is_estimate = True
            return round(size_bytes * self._tokens / self._bytes)
        self._left -= 1
        tokens = len(self._tokenizer.encode(text, add_special_tokens=False).ids)
        self._bytes, self._tokens = self._bytes + size_bytes, self._tokens + tokens
        return tokens


def counter_for(model: ModelProfile | None, folder: Path | None) -> TokenCounter:
    """Return the best counter there is for a model.

    Args:
        model: The model, None where none is named.
        folder: Where its files lie on this machine, if they do.

    Raises:
        InvalidRequest: The folder's `tokenizer.json` cannot be read.
    """
    path = None if folder is None else folder / "tokenizer.json"
    if model is None or path is None or not path.is_file():
        return ByteCounter(model)
    try:
        from tokenizers import Tokenizer  # comes with the worker's extra alone
    except ImportError:
        return ByteCounter(model)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise InvalidRequest(
            f"The tokenizer.json of {model.id} cannot be read: {str(error)[:200]}. "
            "Download it anew."
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TokenizerCounter(tokenizer, model)
