"""Load a base model and its tokenizer, by Hugging Face id or by folder."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils.logging import disable_progress_bar

from metadata.architectures import attention_in, packs
from metadata.errors import InvalidConfiguration, InvalidRequest, UnknownModel
from metadata.optimizers import OPTIMIZERS
from metadata.records import Configuration

BASE_MODELS = Path(__file__).parent / "base_models"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Base:
    """A base model, its tokenizer, and the name to keep of it (never a folder)."""

    model: Any
    tokenizer: Any
    name: str

    @property
    def context_tokens(self) -> int:
        """Return the most tokens that the model reads at once, a large number if it names none."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or 2**20)


def resolve_model(model_id: str) -> str:
    """Return the folder of a shipped or local model, or the id itself for the hub."""
    shipped = BASE_MODELS / model_id
    if (
        model_id not in {"", ".", ".."}
        and "/" not in model_id
        and (shipped / "config.json").is_file()
    ):
        return str(shipped)
    return model_id


def choose_device(name: str) -> torch.device:
    """Return the device to train on: what is asked for, or the best there is.

    Raises:
        InvalidRequest: CUDA is asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if name not in {"auto", "cpu", "cuda"}:
        raise InvalidRequest(f"device must be auto, cpu or cuda, got {name!r}.", param="device")
    if name == "cuda" and not has_cuda:
        raise InvalidRequest(
            "device cuda needs a CUDA GPU that torch sees, and there is none. Use --device cpu.",
            param="device",
        )
    return torch.device("cuda" if has_cuda and name != "cpu" else "cpu")


def load_base(model_id: str, configuration: Configuration, device: torch.device) -> Base:
    """Return the model in the configuration's precision on the device, all weights frozen.

    Only safetensors are read and no code of a model is run.

    Raises:
        UnknownModel: Nothing loadable is there by that id.
        InvalidConfiguration: This machine cannot do what the configuration asks.
    """
    _check_machine(configuration, device)
    disable_progress_bar()  # a run has one bar of its own
    source = resolve_model(model_id)
    name = Path(model_id).name if Path(model_id).is_dir() else model_id
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        family = AutoConfig.from_pretrained(source, trust_remote_code=False).model_type
        model: Any = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=DTYPES[configuration.precision],
            attn_implementation=attention_in(family, configuration.attention),
            trust_remote_code=False,
            use_safetensors=True,
            **_quantization(configuration, device),
        )
    except (OSError, ValueError, KeyError) as error:
        raise UnknownModel(
            f"The base model must be a causal language model in safetensors with a tokenizer, by "
            f"Hugging Face id or folder; {name!r} could not be loaded ({type(error).__name__}). "
            "Check the name, the network, and that its files are complete.",
            param="base_model",
        ) from error
    _check_tokenizer(tokenizer, name)
    _check_packing(model, configuration)
    model.requires_grad_(False)
    model.name_or_path = model.config._name_or_path = name  # a saved adapter names no folder
    return Base(model if hasattr(model, "hf_quantizer") else model.to(device), tokenizer, name)


def prepare(model: Any, configuration: Configuration) -> None:
    """Set what training needs beside the adapter."""
    model.config.use_cache = False
    if configuration.gradient_checkpointing:
        kwargs = {"use_reentrant": False}
        if hasattr(model, "activation_checkpointing_enable"):  # the newer name
            model.activation_checkpointing_enable(activation_checkpointing_kwargs=kwargs)
        else:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=kwargs)


def _check_machine(configuration: Configuration, device: torch.device) -> None:
    """Refuse what would fail later, with the reason."""
    has_cuda = device.type == "cuda"
    _check_optimizer(configuration, has_cuda=has_cuda)
    if configuration.quantization != "none" and not (has_cuda and find_spec("bitsandbytes")):
        raise InvalidConfiguration(
            f"quantization {configuration.quantization} needs a CUDA GPU and bitsandbytes, which "
            "this machine lacks. Set quantization to none.",
            param="quantization",
        )
    if configuration.attention == "flash_attention_2" and not (
        has_cuda and find_spec("flash_attn")
    ):
        raise InvalidConfiguration(
            "attention flash_attention_2 needs a CUDA GPU and flash-attn, which this machine "
            "lacks. Set attention to sdpa.",
            param="attention",
        )


def _check_optimizer(configuration: Configuration, *, has_cuda: bool) -> None:
    spec = OPTIMIZERS[configuration.optimizer.name]
    if spec.needs_cuda and not (has_cuda and find_spec(spec.target.partition(".")[0])):
        raise InvalidConfiguration(
            f"optimizer {spec.name} needs a CUDA GPU and {spec.target.partition('.')[0]}, which "
            "this machine lacks. Choose another optimizer, such as adamw.",
            param="optimizer.name",
        )


def _check_packing(model: Any, configuration: Configuration) -> None:
    family = model.config.model_type
    if configuration.packing and not packs(family):
        raise InvalidConfiguration(
            "packing must be false where texts in one row are not known to be kept apart; got a "
            f"model of the family {family}. Set packing to false.",
            param="packing",
        )


def _check_tokenizer(tokenizer: Any, name: str) -> None:
    if not tokenizer.is_fast:
        raise UnknownModel(
            f"The base model's tokenizer must say which characters each token is of; {name!r} has "
            "a slow one, which cannot. Use a model with a tokenizer.json.",
            param="base_model",
        )


def _quantization(configuration: Configuration, device: torch.device) -> dict[str, Any]:
    if configuration.quantization == "none":
        return {}
    if configuration.method.name == "full":
        raise InvalidConfiguration(
            "Full fine-tuning needs whole weights; quantized ones take no gradient. Set "
            "quantization to none or choose a PEFT method.",
            param="quantization",
        )
    four_bits = configuration.quantization == "nf4"
    config = BitsAndBytesConfig(
        load_in_4bit=four_bits,
        load_in_8bit=not four_bits,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": device.index or 0}}
