import pytest

from metadata.architectures import FAMILIES, ROLES, is_known, linears, targeted
from metadata.features.model import find_model, profile_model
from metadata.records import ModelProfile

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 32,
}


def small(family: str) -> ModelProfile:
    config = dict(SIZES)
    if family in {"gpt2", "gpt_neox", "opt"}:
        del config["num_key_value_heads"]  # these have as many as heads
    return profile_model({"model_type": family, **config, "head_dim": 16}, id=family)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_linears_are_named_and_shaped_as_transformers_builds_them(family: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    profile = small(family)
    config = {"model_type": family, **SIZES, "head_dim": 16, "pad_token_id": 0}
    if family == "opt":
        config |= {"ffn_dim": 96, "word_embed_proj_dim": 64}
    if family == "gpt2":
        config |= {"n_inner": 96}
    if family in {"gpt2", "gpt_neox", "opt"}:
        del config["head_dim"]
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(**config)
        )

    modules = dict(model.named_modules())
    for linear in linears(profile):
        found = [module for name, module in modules.items() if name.endswith(f".{linear.name}")]
        assert len(found) == profile.layers, linear.name
        assert set(found[0].weight.shape) == {linear.d_in, linear.d_out}, linear.name
        assert (getattr(found[0], "bias", None) is not None) == linear.bias, linear.name


@pytest.mark.parametrize("family", FAMILIES)
def test_every_target_names_something_and_all_linear_everything(family: str) -> None:
    profile = small(family)

    assert all(targeted(profile, target) for target in ROLES)
    assert targeted(profile, "all-linear") == linears(profile)
    parts = {*targeted(profile, "attention"), *targeted(profile, "mlp")}
    assert parts == set(linears(profile))


def test_an_unknown_family_is_taken_for_llama_and_says_so() -> None:
    new, llama = small("brand_new"), small("llama")

    assert not is_known(new)
    assert is_known(llama)
    assert linears(new) == linears(llama)


def test_a_known_model_has_its_published_shapes() -> None:
    shapes = {t.name: (t.d_in, t.d_out) for t in linears(find_model("Qwen/Qwen2.5-7B"))}

    assert shapes["self_attn.k_proj"] == (3584, 512)
    assert shapes["mlp.down_proj"] == (18944, 3584)
