import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma2Config

from metadata.errors import InvalidConfiguration, InvalidRequest, UnknownModel
from training_worker import model as module
from training_worker.model import choose_device, load_base, resolve_model

CPU = torch.device("cpu")


def test_a_model_is_loaded_frozen_in_the_precision_asked_for(tiny_llama, make_request) -> None:
    for precision, dtype in [("fp32", torch.float32), ("bf16", torch.bfloat16)]:
        base = load_base(tiny_llama, make_request(precision=precision).configuration, CPU)

        assert {weight.dtype for weight in base.model.parameters()} == {dtype}
        assert not any(weight.requires_grad for weight in base.model.parameters())
        assert base.context_tokens == 128


def test_a_family_without_fused_attention_is_loaded_with_the_plain_one(
    tiny_llama, make_request, tmp_path
) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 258}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    config = Gemma2Config(**sizes, **heads, pad_token_id=0)
    folder = tmp_path / "tiny-gemma2"
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)

    base = load_base(str(folder), make_request().configuration, CPU)

    assert base.model.config._attn_implementation == "eager"


def test_a_folder_is_named_by_its_last_part(tiny_llama, make_request) -> None:
    base = load_base(tiny_llama, make_request().configuration, CPU)

    assert base.name == base.model.name_or_path == "tiny-llama"


def test_a_shipped_model_is_found_by_its_id_and_nothing_else_is(tmp_path, monkeypatch) -> None:
    shipped = tmp_path / "base_models" / "small"
    shipped.mkdir(parents=True)
    (shipped / "config.json").write_text("{}")
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(module, "BASE_MODELS", tmp_path / "base_models")

    assert resolve_model("small") == str(shipped)
    for other in ("other", "..", "../base_models/small", "owner/small", ""):
        assert resolve_model(other) == other


def test_a_pickled_model_is_refused(tiny_llama, make_request, tmp_path) -> None:
    base = load_base(tiny_llama, make_request().configuration, CPU)
    base.model.config.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    torch.save(base.model.state_dict(), tmp_path / "pytorch_model.bin")

    with pytest.raises(UnknownModel, match="safetensors"):
        load_base(str(tmp_path), make_request().configuration, CPU)


def test_a_model_with_code_of_its_own_is_refused(tiny_llama, make_request, tmp_path) -> None:
    base = load_base(tiny_llama, make_request().configuration, CPU)
    base.model.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    entry = '{"auto_map": {"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"},'
    config = config.replace('"model_type": "llama"', '"model_type": "mine"')
    (tmp_path / "config.json").write_text(entry + config.lstrip()[1:])
    (tmp_path / "mine.py").write_text("raise SystemExit('this code must not run')")

    with pytest.raises(UnknownModel):
        load_base(str(tmp_path), make_request().configuration, CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match="--device cpu"):
        choose_device("cuda")
    assert choose_device("auto") == CPU


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantization_on_a_cpu_is_refused(quantization, tiny_llama, make_request) -> None:
    asked = make_request(quantization=quantization).configuration

    with pytest.raises(InvalidConfiguration, match="quantization to none"):
        load_base(tiny_llama, asked, CPU)
