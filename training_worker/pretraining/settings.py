"""What a pretraining can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metadata.errors import InvalidRequest

Layout = Literal["llama", "gpt2"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One pretraining.

    Attributes:
        output: Folder that gets the model, the tokenizer and the model card.
        corpus: Folder of *.txt, *.md, *.jsonl or *.jsonl.xz; None for our own generators.
        tokens: How many tokens are trained on, passes over the corpus counted again.
        corpus_tokens: How many different tokens our own generators make, at most.
        layout: Llama's, or GPT-2's: learnt positions, layer norms with biases, an MLP without a
            gate, as many key-value heads as heads.
        precision: Of the matrix products, by autocast; "auto" is bf16 on CUDA, else fp32. A CPU
            that multiplies in bf16 takes half the time with it.
        threads: How many threads train; equal numbers give equal weights on the same kind of CPU.
        cache: Folder that keeps the corpus as token ids between calls.
    """

    output: Path
    corpus: Path | None = None
    tokens: int = 600_000_000
    corpus_tokens: int = 300_000_000
    layout: Layout = "llama"
    vocabulary: int = 2048
    hidden_size: int = 128
    layers: int = 6
    heads: int = 4
    key_value_heads: int = 2
    mlp_width: int = 352
    context_tokens: int = 512
    batch_tokens: int = 65_536
    learning_rate: float = 4e-3
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    processes: int = 1
    threads: int = 1
    compile: bool = False
    cache: Path

    def __post_init__(self) -> None:
        """Refuse sizes that no decoder can have.

        Raises:
            InvalidRequest: A size does not fit the others.
        """
        counts = ("hidden-size", "layers", "heads", "key-value-heads", "mlp-width", "processes")
        for name in (*counts, "threads"):
            self._require(getattr(self, name.replace("-", "_")) >= 1, name, "at least 1")
        self._require(self.hidden_size % self.heads == 0, "hidden-size", "a multiple of heads")
        self._require(
            self.heads % self.key_value_heads == 0, "heads", "a multiple of key-value-heads"
        )
        if self.layout == "gpt2":
            equal = self.key_value_heads == self.heads
            self._require(equal, "key-value-heads", "equal to heads with --layout gpt2")
        self._require(
            (self.hidden_size // self.heads) % 2 == 0, "hidden-size", "an even number per head"
        )
        self._require(320 <= self.vocabulary <= 65_536, "vocabulary", "between 320 and 65536")
        self._require(self.context_tokens >= 16, "context-tokens", "at least 16")
        self._require(
            self.batch_tokens >= self.context_tokens, "batch-tokens", "at least context-tokens"
        )
        self._require(self.tokens >= self.batch_tokens, "tokens", "at least batch-tokens")
        self._require(0 < self.learning_rate <= 1, "learning-rate", "in (0, 1]")

    @property
    def steps(self) -> int:
        """Return how many optimizer steps the tokens make."""
        return self.tokens // self.batch_tokens

    @property
    def batch_sequences(self) -> int:
        """Return how many sequences one step takes."""
        return self.batch_tokens // self.context_tokens

    def _require(self, holds: bool, name: str, rule: str) -> None:
        if not holds:
            seen = getattr(self, name.replace("-", "_"))
            raise InvalidRequest(
                f"--{name} must be {rule}, got {seen}. Change --{name}.", param=name
            )
