import pytest

from metadata.errors import InvalidRequest, UnknownModel
from metadata.features.model import find_model, known_models, profile_model

LLAMA = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
}

# As the safetensors of each model on the hub count them.
PUBLISHED = {
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-2-7b-hf": 6_738_415_616,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "mistralai/Mistral-Nemo-Instruct-2407": 12_247_782_400,
    "Qwen/Qwen2.5-0.5B": 494_032_768,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen2.5-72B": 72_706_203_648,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-2-9b": 9_241_705_984,
    "google/gemma-3-270m": 268_098_176,
    "google/gemma-3-1b-it": 999_885_952,
    "HuggingFaceTB/SmolLM2-135M": 134_515_008,
    "HuggingFaceTB/SmolLM3-3B": 3_075_098_624,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "microsoft/Phi-3-mini-4k-instruct": 3_821_079_552,
    "microsoft/phi-4": 14_659_507_200,
    "allenai/OLMo-2-1124-7B": 7_298_617_344,
    "ibm-granite/granite-3.1-8b-base": 8_170_848_256,
    "openai-community/gpt2": 124_439_808,
    "openai-community/gpt2-xl": 1_557_611_200,
    "EleutherAI/pythia-70m": 70_426_624,
    "EleutherAI/pythia-12b": 11_846_072_320,
    "facebook/opt-125m": 125_239_296,
    "facebook/opt-13b": 12_853_473_280,
}


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED.items())
def test_counted_parameters_are_the_published_ones(name: str, parameters: int) -> None:
    assert find_model(name).parameters == parameters


SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 128,
    "max_position_embeddings": 32,
}
SMALL_CONFIGS = {
    "llama": {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": False},
    "mistral": {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2": {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": False},
    "qwen3": {**SMALL, "num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True},
    "gemma": {**SMALL, "num_key_value_heads": 1, "head_dim": 32},
    "gemma2": {**SMALL, "num_key_value_heads": 2, "head_dim": 32},
    "gemma3_text": {**SMALL, "num_key_value_heads": 2, "head_dim": 32},
    "phi3": {**SMALL, "num_key_value_heads": 2, "pad_token_id": 0, "tie_word_embeddings": False},
    "olmo2": {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": False},
    "granite": {**SMALL, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "smollm3": {**SMALL, "num_key_value_heads": 2, "pad_token_id": 0},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128, "n_positions": 32},
    "gpt_neox": {**SMALL, "tie_word_embeddings": False},
    "opt": {
        **{name: size for name, size in SMALL.items() if name != "intermediate_size"},
        "ffn_dim": 96,
        "word_embed_proj_dim": 64,
        "pad_token_id": 1,
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", SMALL_CONFIGS)
def test_counted_parameters_are_those_that_transformers_builds(family: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = {"model_type": family, **SMALL_CONFIGS[family]}

    profile = profile_model(config, id=family)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**config)
        )

    assert profile.parameters == sum(weight.numel() for weight in model.parameters())


def test_every_known_model_is_whole_and_named_once() -> None:
    models = known_models()

    assert len(models) >= 60
    assert len({model.id.lower() for model in models}) == len(models)
    assert all(model.heads % model.key_value_heads == 0 for model in models)


def test_an_id_is_found_in_any_case() -> None:
    assert find_model("META-LLAMA/llama-3.2-3b").id == "meta-llama/Llama-3.2-3B"


def test_an_unknown_id_lists_near_ones_and_the_way_out() -> None:
    with pytest.raises(UnknownModel, match=r"meta-llama/Llama-3\.2-3B.*config\.json"):
        find_model("Llama-3.2-3B")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "..", "./model", "a\\b", "C:/model", "~/m", "https://x/y", "a/b/c"]
)
def test_a_path_is_refused_with_its_own_message(path: str) -> None:
    with pytest.raises(InvalidRequest, match="never by a path"):
        find_model(path)


def test_a_llama_config_gives_the_table_row() -> None:
    assert profile_model(LLAMA, id="meta-llama/Llama-3.2-1B") == find_model(
        "meta-llama/Llama-3.2-1B"
    )


def test_the_language_model_of_a_model_that_sees_is_described() -> None:
    config = {"model_type": "other_vision", "text_config": LLAMA, "vision_config": {"depth": 32}}

    assert profile_model(config, id="x").parameters == profile_model(LLAMA, id="x").parameters


def test_gemma_3_leaves_fields_to_their_defaults() -> None:
    text = {
        "model_type": "gemma3_text",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
    }

    profile = profile_model(
        {"model_type": "gemma3", "text_config": text}, id="google/gemma-3-4b-it"
    )

    assert profile == find_model("google/gemma-3-4b-it")


@pytest.mark.parametrize("field", [name for name in LLAMA if name not in {"tie_word_embeddings"}])
def test_a_missing_field_is_named(field: str) -> None:
    config = {name: value for name, value in LLAMA.items() if name != field}
    if field == "num_key_value_heads":
        assert profile_model(config, id="x").key_value_heads == LLAMA["num_attention_heads"]
        return

    with pytest.raises(InvalidRequest) as caught:
        profile_model(config, id="x")

    assert caught.value.param == f"config.{field}"


ABSURD = [
    ("hidden_size", -1),
    ("hidden_size", 10**30),
    ("hidden_size", 10**5000),
    ("hidden_size", float("nan")),
    ("hidden_size", "2048"),
    ("hidden_size", True),
    ("hidden_size", 2049),
    ("num_hidden_layers", 0),
    ("num_hidden_layers", [16]),
    ("num_key_value_heads", 5),
    ("vocab_size", 1e5),
    ("tie_word_embeddings", "yes"),
    ("model_type", "../x"),
    ("model_type", 5),
    ("model_type", "bert"),
    ("is_encoder_decoder", True),
    ("num_local_experts", 8),
    ("word_embed_proj_dim", 512),
]


@pytest.mark.parametrize(("field", "value"), ABSURD, ids=range(len(ABSURD)))
def test_an_absurd_field_is_refused_and_shown_shortly(field: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        profile_model({**LLAMA, field: value}, id="x")

    assert str(caught.value.param).startswith("config.")
    assert len(str(caught.value)) < 400


def test_tokens_grow_longer_with_the_vocabulary() -> None:
    small, middle, large = (
        profile_model({**LLAMA, "vocab_size": size}, id="x").bytes_per_token
        for size in (2048, 32_000, 256_000)
    )

    assert 2 < small < middle < large < 5
