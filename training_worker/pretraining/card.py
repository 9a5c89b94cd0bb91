"""The model card: how the model was made, and what it is not for."""

import platform

import tokenizers
import torch
import transformers

from training_worker.pretraining.settings import Settings
from training_worker.pretraining.trainer import Trained, device_of, precision_of

_CARD = """\
---
{licence_line}library_name: transformers
pipeline_tag: text-generation
---

# {name}

A decoder of {parameters:,} parameters in {layout}'s layout, small enough to fine-tune within
minutes on a laptop. It exists to try the whole path of a fine-tuning for real; it knows nothing.

| | |
| --- | --- |
| layers, width, MLP width | {s.layers}, {s.hidden_size}, {s.mlp_width} |
| heads, key-value heads | {s.heads}, {s.key_value_heads} |
| vocabulary, context | {s.vocabulary}, {s.context_tokens} tokens |
| weights | bf16, safetensors, tied embeddings |
| tokenizer | byte-level BPE, digits one by one, chat template with three roles |
| licence | {licence} |

## How it was made

```
{command}
```

Text: {text}.
Trained on {tokens:,} tokens in {steps:,} steps of {s.batch_tokens:,}: AdamW at {s.learning_rate:g},
cosine, weight decay 0.1, seed {s.seed}, {precision}, {s.threads} thread(s).
Loss at the end {train_loss:.3f}, on held-out rows {held_out_loss:.3f} nats per token;
{bytes_per_token:.2f} bytes per token.
It took {seconds:,.0f} s on {hardware}, with Python {python}, torch {torch}, transformers
{transformers}, tokenizers {tokenizers}.

## Limits

{limits}
- Made for tests, demonstrations and cheap experiments with fine-tuning, and for nothing else.
"""
OWN_TEXT = "our own generators (`training_worker/tasks/text.py`), no text of others"
LAYOUTS = {"llama": "Llama", "gpt2": "GPT-2"}
_OWN_LIMITS = """\
- Its world is invented: names, places, numbers and facts are made up.
- Its English is that of simple grammars and some 1,600 words; it neither reasons nor converses."""
_CORPUS_LIMITS = "- It has read little; it neither reasons nor converses."


def write_card(settings: Settings, trained: Trained, *, bytes_per_token: float) -> str:
    """Return the model card as Markdown."""
    on_cuda = device_of(settings).type == "cuda"
    is_mixed = precision_of(settings) == torch.bfloat16
    corpus = settings.corpus
    return _CARD.format(
        layout=LAYOUTS[settings.layout],
        licence_line="license: apache-2.0\n" if corpus is None else "",
        licence="Apache-2.0" if corpus is None else "that of its corpus",
        limits=_OWN_LIMITS if corpus is None else _CORPUS_LIMITS,
        name=settings.output.name,
        s=settings,
        command=command_of(settings),
        text=OWN_TEXT if corpus is None else f"the folder `{corpus.name}`",
        tokens=trained.tokens,
        steps=settings.steps,
        parameters=trained.parameters,
        train_loss=trained.train_loss,
        held_out_loss=trained.held_out_loss,
        seconds=trained.seconds,
        bytes_per_token=bytes_per_token,
        precision="bf16 autocast" if is_mixed else "fp32",
        hardware=torch.cuda.get_device_name() if on_cuda else f"a CPU ({platform.machine()})",
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=transformers.__version__,
        tokenizers=tokenizers.__version__,
    )


def command_of(settings: Settings) -> str:
    """Return the command that makes the same model again; folders by their last name."""
    options: dict[str, object] = {
        "output": settings.output.name,
        "tokens": settings.tokens,
        "corpus-tokens": settings.corpus_tokens,
        "layout": settings.layout,
        "vocabulary": settings.vocabulary,
        "hidden-size": settings.hidden_size,
        "layers": settings.layers,
        "heads": settings.heads,
        "key-value-heads": settings.key_value_heads,
        "mlp-width": settings.mlp_width,
        "context-tokens": settings.context_tokens,
        "batch-tokens": settings.batch_tokens,
        "learning-rate": settings.learning_rate,
        "seed": settings.seed,
        "precision": settings.precision,
        "threads": settings.threads,
    }
    if settings.corpus is not None:
        options["corpus"] = settings.corpus.name
    written = " \\\n  ".join(f"--{name} {value}" for name, value in options.items())
    return f"python -m training_worker pretrain {written}"
