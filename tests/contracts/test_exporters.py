"""Every format carries a configuration whole or refuses it, and its file is what the tool reads."""

import importlib
import json
import re
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import yaml
from exported import (
    LLAMA,
    make_configuration,
    make_profile,
    make_source,
    save_tiny_model,
    write_records,
)
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from metadata.errors import InvalidRequest
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.parameters import defaults
from metadata.records import Configuration
from service.exporters import EXPORTERS, torchtune, trl, unsloth
from service.exporters.export import export, formats_for
from service.exporters.peft_arguments import reason_against
from service.exporters.source import DataFile, Source
from training_worker.adapter import add_adapter
from training_worker.data import Batch
from training_worker.setting import Setting

DATA = Path(__file__).parents[2] / "service" / "exporters" / "data"
IDS_BL = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6], [5, 3, 5, 8, 9, 7, 9, 3]])
BATCH = Batch(IDS_BL, torch.ones_like(IDS_BL), IDS_BL, targets=14, tokens=16)
SETTING = Setting(batches=(BATCH,), steps=20)
IN_PEFT = [name for name in METHODS if not reason_against(name)]
# One of each kind of script; those of all other methods are in the slow tests.
SCRIPTS = ("lora", "dora", "pissa", "velora", "ia3", "prompt_tuning", "p_tuning", "oft", "full")
TUNE = "Qwen/Qwen2.5-0.5B-Instruct"  # a model that torchtune has a config for
KINDS = ("prompt_completion", "messages", "text")
ADAM = {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0}
# Another value of each field; a file that says neither would have dropped it.
CHANGES: dict[str, Any] = {
    "target_modules": "qv",
    "optimizer": {**ADAM, "learning_rate": 2e-3},
    "optimizer ": {**ADAM, "weight_decay": 0.05},
    "optimizer  ": {**ADAM, "name": "lion"},
    "optimizer   ": {"name": "lora_plus", "learning_rate": 1e-3, "loraplus_lr_ratio": 8.0},
    "optimizer    ": {"name": "cma", **defaults(OPTIMIZERS["cma"].parameters)},
    "schedule": {"name": "cosine", "warmup_fraction": 0.3},
    "schedule ": {"name": "constant_with_cooldown", "cooldown_fraction": 0.2},
    "batch_size": 12,
    "epochs": 2.0,
    "max_length_tokens": 32,
    "loss_on": "all",
    "precision": "bf16",
    "quantization": "nf4",
    "quantization ": "int8",
    "gradient_clipping": "none",
    "gradient_clipping ": "component",
    "gradient_checkpointing": True,
    "packing": True,
    "attention": "eager",
    "keep": "last",
    "seed": 7,
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def base() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return AutoModelForCausalLM.from_config(LLAMA).requires_grad_(False)


def source_for(name: str, configuration: Configuration, kind: str = KINDS[0]) -> Source:
    """Return a source whose model the format knows."""
    profile = make_profile(id=TUNE) if name == "torchtune" else make_profile()
    data = DataFile(name="train.jsonl", records=kind)  # type: ignore[arg-type]
    return make_source(configuration, model=profile, data=data)


def carried(name: str) -> Iterator[Source]:
    """Yield sources of all methods, optimizers, schedules and kinds of data that a format has."""
    asked = [make_configuration(method) for method in METHODS]
    asked += [
        make_configuration(optimizer={"learning_rate": 1e-3, "name": one, **defaults(parameters)})
        for one, parameters in ((spec.name, spec.parameters) for spec in OPTIMIZERS.values())
    ]
    asked += [
        make_configuration(schedule={"name": spec.name, **defaults(spec.parameters)})
        for spec in SCHEDULES.values()
    ]
    asked += [make_configuration(**{field.strip(): to}) for field, to in CHANGES.items()]
    sources = (source_for(name, one, kind) for one in asked for kind in KINDS)
    yield from (source for source in sources if not EXPORTERS[name].lacks(source))


def listed(tool: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{tool}.json").read_text())
    return found


@pytest.mark.parametrize("method", IN_PEFT)
@pytest.mark.filterwarnings("ignore")
def test_peft_reads_the_config_as_the_worker_makes_it_and_trains(
    method: str, tmp_path: Path
) -> None:
    configuration = make_configuration(method)
    written = export(make_source(configuration), "peft")
    (tmp_path / written.file_name).write_text(written.text)

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Unexpected keyword arguments")
        config = peft.PeftConfig.from_pretrained(str(tmp_path))
    model = peft.get_peft_model(base(), config)

    ours = add_adapter(base(), configuration, SETTING).peft_config["default"]
    assert type(config) is getattr(peft, METHODS[method].target.removeprefix("peft."))
    assert said_by(model.peft_config["default"]) == said_by(ours)
    assert_two_steps_move_it(model)


def said_by(config: Any) -> dict[str, Any]:
    """Return what a config says; MiCA's start is over once the worker has made it."""
    keys = {"base_model_name_or_path", "init_lora_weights"}
    found = {key: value for key, value in config.to_dict().items() if key not in keys}
    return {k: sorted(v) if isinstance(v, set) else v for k, v in found.items()}


def assert_two_steps_move_it(model: torch.nn.Module) -> None:
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    before = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.AdamW(weights, lr=1e-2)
    for _ in range(2):
        model(input_ids=IDS_BL, labels=IDS_BL).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = [not torch.equal(a, b) for a, b in zip(before, weights, strict=True)]
    assert any(moved)
    assert all(weight.isfinite().all() for weight in weights)


def run_script(tiny: str, folder: Path, configuration: Configuration, kind: str) -> Source:
    """Run a script of TRL's as somebody would, beside the data."""
    write_records(folder, kind)
    data = DataFile(name="train.jsonl", records=kind)  # type: ignore[arg-type]
    source = make_source(configuration, model=make_profile(id=tiny), data=data, steps=2)
    (folder / "train_trl.py").write_text(export(source, "trl").text)
    with torch.random.fork_rng():
        runpy.run_path(str(folder / "train_trl.py"))
    return source


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


def steps_of(source: Source) -> list[dict[str, float]]:
    state = max(Path(source.name).glob("checkpoint-*/trainer_state.json"))
    history: list[dict[str, float]] = json.loads(state.read_text())["log_history"]
    return [entry for entry in history if "learning_rate" in entry]


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=() if name in SCRIPTS else pytest.mark.slow)
        for name in trl.CARRIES.methods
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_trl_script_trains_two_steps_and_keeps_the_best(
    method: str, tiny: str, folder: Path
) -> None:
    keep = "last" if method in trl.NOT_RESUMED else "best"
    source = run_script(tiny, folder, make_configuration(method, keep=keep), KINDS[0])

    out = Path(source.name)
    if keep == "best":
        assert len(steps_of(source)) == 2
    if method == "full":
        before = load_file(Path(tiny) / "model.safetensors")
        after = load_file(out / "model.safetensors")
        assert any(not torch.equal(before[name], after[name]) for name in after)
        return
    model = AutoModelForCausalLM.from_pretrained(tiny)
    loaded = peft.PeftModel.from_pretrained(model, str(out))
    assert type(loaded.peft_config["default"]) is getattr(
        peft, METHODS[method].target.removeprefix("peft.")
    )
    if keep == "best" and METHODS[method].injector != trl.MOVED_BASE:
        state = json.loads(max(out.glob("checkpoint-*/trainer_state.json")).read_text())
        best = Path(state["best_model_checkpoint"])
        kept, found = (load_file(one / "adapter_model.safetensors") for one in (out, best))
        assert all(torch.equal(kept[name], found[name]) for name in kept)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss_on", ["completion", "all"])
@pytest.mark.filterwarnings("ignore")
def test_a_trl_script_takes_every_kind_of_record(
    kind: str, loss_on: str, tiny: str, folder: Path
) -> None:
    source = run_script(tiny, folder, make_configuration(loss_on=loss_on), kind)

    assert len(steps_of(source)) == 2


@pytest.mark.parametrize("optimizer", ["lion", "prodigy", "adafactor", "dadapt_adamw"])
@pytest.mark.filterwarnings("ignore")
def test_a_trl_script_takes_the_optimizers_of_public_libraries(
    optimizer: str, tiny: str, folder: Path
) -> None:
    spec = OPTIMIZERS[optimizer]
    rate = {"learning_rate": 1e-3} if spec.has_learning_rate else {}
    choice = {"name": optimizer, **rate, **defaults(spec.parameters)}
    source = run_script(tiny, folder, make_configuration(optimizer=choice), KINDS[0])

    assert len(steps_of(source)) == 2


@pytest.mark.filterwarnings("ignore")
def test_the_rate_of_a_trl_script_moves_as_the_schedule_says(tiny: str, folder: Path) -> None:
    schedule = {"name": "constant_with_cooldown", "cooldown_fraction": 0.5}
    asked = make_configuration(schedule=schedule, batch_size=3)  # 18 examples: six steps
    write_records(folder, KINDS[0])
    source = make_source(asked, model=make_profile(id=tiny), steps=round(6 * 0.8 / 0.9))
    (folder / "train_trl.py").write_text(export(source, "trl").text)
    runpy.run_path("train_trl.py")

    rates = [entry["learning_rate"] / 1e-3 for entry in steps_of(source)]
    assert rates == pytest.approx([1, 1, 1, 1, 2 / 3, 1 / 3], abs=0.02)


def test_every_key_for_axolotl_is_one_of_its_own() -> None:
    known = listed("axolotl")
    for source in carried("axolotl"):
        found = yaml.safe_load(export(source, "axolotl").text)
        dataset = found["datasets"][0]
        assert set(found) <= set(known["keys"])
        assert set(dataset) <= set(known["dataset_keys"])
        if isinstance(dataset["type"], dict):
            assert set(dataset["type"]) <= set(known["type_keys"])


def test_every_key_for_llama_factory_is_one_of_its_own() -> None:
    known = set(listed("llama_factory")["keys"])
    for source in carried("llama-factory"):
        assert set(yaml.safe_load(export(source, "llama-factory").text)) <= known


def test_every_key_for_torchtune_is_one_of_its_own() -> None:
    known = listed("torchtune")
    for source in carried("torchtune"):
        found = yaml.safe_load(export(source, "torchtune").text)
        dataset = found["dataset"]
        kind = dataset.pop("_component_").rpartition(".")[2]
        assert set(found) <= set(known["keys"])
        assert set(dataset) <= set(known[kind])
        of_model = set(found["model"]) - {"_component_"}
        assert of_model <= set(known["models"][source.model.id]["model_keys"])


@pytest.mark.parametrize("schedule", ["linear", "constant_with_cooldown"])
def test_the_schedules_that_torchtune_borrows_take_what_its_recipe_gives(schedule: str) -> None:
    values = defaults(SCHEDULES[schedule].parameters)
    asked = make_configuration(schedule={"name": schedule, "warmup_fraction": 0.1, **values})
    found = yaml.safe_load(export(source_for("torchtune", asked), "torchtune").text)["lr_scheduler"]
    module, _, name = found.pop("_component_").rpartition(".")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)

    make = getattr(importlib.import_module(module), name)
    moved = make(optimizer, num_training_steps=25, last_epoch=-1, **found)

    rates = []
    for _ in range(25):
        rates.append(moved.get_last_lr()[0])
        optimizer.step()
        moved.step()
    progress = [max(0.0, (step - 2) / 23) for step in range(25)]
    due = [SCHEDULES[schedule].multiplier(done, values) for done in progress]
    assert rates[2:] == pytest.approx(due[2:], abs=0.1)  # the decay is of whole steps


def test_every_argument_for_unsloth_is_one_of_its_own() -> None:
    known = listed("unsloth")
    for source in carried("unsloth"):
        compile(export(source, "unsloth").text, "train_unsloth.py", "exec")
        assert set(unsloth.arguments(source)) <= set(known["sft_config"])
        assert set(unsloth.loading(source)) <= set(known["from_pretrained"])
        if source.method.name != "full":
            assert set(unsloth.adapting(source)) <= set(known["get_peft_model"])


@pytest.mark.parametrize("name", ["axolotl", "llama-factory", "torchtune", "unsloth"])
def test_a_format_carries_something_of_every_kind(name: str) -> None:
    assert len({source.method.name for source in carried(name)}) > 1


@pytest.mark.parametrize("name", EXPORTERS)
@pytest.mark.parametrize("field", CHANGES)
def test_no_value_is_dropped_without_a_word(name: str, field: str) -> None:
    changed = source_for(name, make_configuration(**{field.strip(): CHANGES[field]}))
    if EXPORTERS[name].lacks(changed):
        with pytest.raises(InvalidRequest) as refused:
            export(changed, name)
        assert str(CHANGES[field]) in str(refused.value) or "name" in CHANGES[field]
        return

    usual = export(source_for(name, make_configuration()), name)
    other = export(changed, name)
    assert (usual.text, usual.lines) != (other.text, other.lines)


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_file_says_where_it_comes_from(name: str) -> None:
    written = export(source_for(name, make_configuration()), name)

    said = " ".join(written.lines) + written.text
    for part in ("rec-0a1b2c3d", "rank 2", "0f1e2d3c", "2026-01-31"):
        assert part in said
    if written.media_type != "application/json":
        assert written.text.startswith("# Recommendation rec-0a1b2c3d, rank 2")


@pytest.mark.parametrize("devices", [1, 2, 3, 8])
@pytest.mark.parametrize("micro_batch_size", [1, 3, 4, 64])
@pytest.mark.parametrize("batch_size", [1, 7, 10, 48])
def test_the_batch_is_that_of_the_configuration(
    batch_size: int, micro_batch_size: int, devices: int
) -> None:
    configuration = make_configuration(batch_size=batch_size)
    source = make_source(configuration, micro_batch_size=micro_batch_size, devices=devices)

    size, accumulation = source.batches(source.shared_devices)

    assert size * accumulation * source.shared_devices == batch_size
    assert size <= micro_batch_size


def test_a_refusal_names_what_is_missing_and_the_formats_that_have_it() -> None:
    source = make_source(make_configuration("vera"))

    with pytest.raises(InvalidRequest, match="the method vera") as refused:
        export(source, "axolotl")

    named = re.findall(r"[a-z-]+", str(refused.value).partition("Formats that can: ")[2])
    assert formats_for(source) == ["peft", "trl", "openai"] == named[:3]


def test_every_method_has_a_format() -> None:
    assert all(formats_for(make_source(make_configuration(method))) for method in METHODS)


def test_a_comment_stays_one_whatever_a_model_is_called() -> None:
    profile = make_profile(id="tiny\nimport os")

    text = export(make_source(make_configuration(), model=profile), "trl").text

    assert "\nimport os" not in text


def test_torchtune_refuses_what_its_recipe_cannot_do() -> None:
    parts = {"epochs": 2.5, "schedule": {"name": "constant"}, "target_modules": "mlp"}

    found = torchtune.lacks(make_source(make_configuration(**parts)))

    assert ["constant" in " ".join(found), "2.5" in " ".join(found)] == [True, True]
    assert any("mlp" in words for words in found)
    assert any("base model tiny" in words for words in found)
