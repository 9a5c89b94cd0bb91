import xml.etree.ElementTree as ET
from typing import Any

import pytest
from starlette.testclient import TestClient

from metadata.features.device import find_device
from metadata.features.model import find_model
from metadata.footprint import footprint, longest_tokens, target_share
from metadata.methods import METHODS
from metadata.records import Configuration, DatasetProfile, Task
from metadata.simulated import KINDS, PHASES, Peak
from service.estimates.knobs import Step, knobs_of
from service.estimates.phases import phases
from service.estimates.picture import memory_picture

URL = "/v1/fine_tuning/jobs/estimate"
GIB = 2**30
LORA: dict[str, Any] = {
    "method": {"name": "lora", "r": 16, "lora_alpha": 32, "lora_dropout": 0.0},
    "optimizer": {"name": "adamw", "learning_rate": 2e-4},
    "batch_size": 16,
    "precision": "bf16",
    "loss_on": "all",
    "max_length_tokens": 2048,
}
FULL = {**LORA, "method": {"name": "full"}}
LENGTHS = {"mean": 900.0, "p50": 800, "p90": 1500, "p99": 1900, "max": 2000}
PROFILE: dict[str, Any] = {
    "name": "notes",
    "group": "notes",
    "sha256": "ab" * 32,
    "kind": "generation",
    "examples": 400,
    "prompt_bytes": LENGTHS,
    "completion_bytes": LENGTHS,
    "distinct_words": 500,
    "repeated_word_fraction": 0.5,
    "distinct_completions": 300,
    "completion_entropy_bits": 8.0,
    "duplicate_fraction": 0.0,
    "compression_ratio": 0.5,
}
TASK = Task(
    model=find_model("meta-llama/Llama-3.2-3B"),
    dataset=DatasetProfile.model_validate(PROFILE),
    device=find_device("NVIDIA L40S"),
)


def question(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "base_model": {"id": TASK.model.id},
        "dataset": {"profile": PROFILE},
        "hardware": {"device": "NVIDIA L40S", "usd_per_hour": 1.8},
        "peft": {"configuration": LORA},
    }
    return {**usual, **changes}


def ask(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post(URL, json=question(**changes))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def step(**changes: Any) -> Step:
    return Step(
        configuration=Configuration.model_validate({**LORA, **changes}),
        task=TASK,
        micro_batch_size=4,
        accumulates=True,
    )


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("accumulates", [False, True])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_largest_phase_is_the_peak_of_the_footprint(
    method: str, accumulates: bool, checkpointing: bool
) -> None:
    base = FULL if method == "full" else LORA
    configuration = {**base, "gradient_checkpointing": checkpointing}
    needs = footprint(
        Configuration.model_validate(configuration),
        TASK.model,
        micro_batch_size=4,
        length_tokens=512,
        accumulates=accumulates,
    )

    held = phases(needs)

    assert tuple(held) == PHASES
    assert max(peak.peak_bytes for peak in held.values()) == pytest.approx(needs.peak_bytes, abs=8)
    for peak in held.values():
        assert peak.peak_bytes == sum(peak.bytes_of[kind] for kind in KINDS)
        assert peak.bytes_of["weights"] == needs.weights_bytes
        assert peak.bytes_of["state"] == needs.state_bytes
    assert max(peak.bytes_of["logits"] for peak in held.values()) == needs.logits_bytes
    assert held["optimizer"].bytes_of["gradients"] == needs.gradient_bytes


def test_each_knob_frees_what_the_footprint_says_when_asked_again() -> None:
    now = step()
    knobs = {knob.name: knob for knob in knobs_of(now) if knob.name != "quantization"}

    def peak(**changes: Any) -> int:
        micro = changes.pop("micro_batch_size", 4)
        configuration = Configuration.model_validate({**LORA, **changes})
        return footprint(
            configuration,
            TASK.model,
            micro_batch_size=micro,
            length_tokens=longest_tokens(configuration, TASK),
            target_share=target_share(configuration, TASK),
            accumulates=True,
        ).peak_bytes

    assert {
        "micro_batch_size",
        "gradient_checkpointing",
        "loss_on",
        "max_length_tokens",
        "target_modules",
    } <= set(knobs)
    changes: dict[str, Any] = {
        "micro_batch_size": 2,
        "gradient_checkpointing": True,
        "loss_on": "completion",
        "max_length_tokens": int(knobs["max_length_tokens"].value),
        "target_modules": "attention",
    }
    for name, value in changes.items():
        assert knobs[name].frees_bytes == peak() - peak(**{name: value}), name
    frees = [knob.frees_bytes for knob in knobs_of(now)]
    assert frees == sorted(frees, reverse=True)


def test_a_knob_says_what_it_relieves_and_how_much_in_words() -> None:
    [one] = [knob for knob in knobs_of(step()) if knob.name == "loss_on"]

    logits = step().footprint().logits_bytes / GIB
    assert one.relieves == "logits"
    assert one.sentence == (
        f"Logits take {logits:.1f} GiB: a loss on the completion alone frees "
        f"{one.frees_bytes / GIB:.1f} GiB."
    )


def test_a_quantised_base_is_proposed_only_where_the_method_supports_it() -> None:
    for name, spec in (("lora", METHODS["lora"]), ("full", METHODS["full"])):
        base = FULL if name == "full" else LORA
        asked = step(**{"method": base["method"]})

        proposed = {knob.value for knob in knobs_of(asked) if knob.name == "quantization"}

        assert proposed == set(spec.quantizations)


def test_a_configuration_is_estimated_as_it_would_run(client: TestClient) -> None:
    found = ask(client)

    assert found["chosen_by"] == "caller"
    assert found["fits"] is True
    assert found["micro_batch_size"] * found["accumulation_steps"] == 16
    assert found["steps"] == 20  # 80 % of 400 examples, 16 a step
    seconds, peak = found["train_seconds"], found["peak_memory_bytes"]
    assert seconds["low"] <= seconds["expected"] <= seconds["high"]
    assert peak["low"] <= peak["expected"] <= peak["high"] <= found["memory_bytes"]
    assert found["cost_usd"] == pytest.approx(1.8 / 3600 * seconds["expected"])
    assert found["trainable_parameters"] == 24_313_856
    assert [knob["sentence"] for knob in found["knobs"]] == found["advice"][1:]


def test_the_price_is_left_out_where_none_is_known(client: TestClient) -> None:
    assert ask(client, hardware={"device": "NVIDIA L40S"})["cost_usd"] is None


def test_what_fits_is_chosen_with_the_least_time(client: TestClient) -> None:
    roomy = ask(client)
    tight = ask(client, budget={"memory_gib": 16})

    assert (roomy["gradient_checkpointing"], roomy["fits"]) == (False, True)
    assert (tight["gradient_checkpointing"], tight["fits"]) == (True, True)
    assert tight["peak_memory_bytes"]["high"] <= 16 * GIB
    assert tight["configuration"]["gradient_checkpointing"] is True
    assert tight["train_seconds"]["expected"] > roomy["train_seconds"]["expected"]
    assert "Gradient checkpointing is estimated on" in tight["notes"][0]


def test_checkpointing_that_is_not_needed_is_switched_off_and_said(client: TestClient) -> None:
    asked = {**LORA, "gradient_checkpointing": True}

    found = ask(client, peft={"configuration": asked})

    assert found["gradient_checkpointing"] is False
    assert "Gradient checkpointing is estimated off" in found["notes"][0]
    assert found["train_seconds"] == ask(client)["train_seconds"]


def test_what_does_not_fit_says_what_is_short(client: TestClient) -> None:
    found = ask(client, budget={"memory_gib": 4, "train_minutes": 0.1, "usd": 0.001})

    assert found["fits"] is False
    assert found["micro_batch_size"] == 1
    assert found["advice"][0].startswith("It does not fit: memory may reach ")
    assert found["advice"][0].endswith("and a device offers 4.0 GiB.")
    assert found["advice"][1].startswith("It takes too long: ")
    assert found["advice"][2].startswith("It costs too much: ")


def test_without_a_choice_the_first_recommendation_is_estimated(client: TestClient) -> None:
    found = ask(client, peft=None)

    kept = client.get(f"/v1/recommendations/{found['recommendation_id']}").json()
    first = kept["configurations"][0]
    assert (found["chosen_by"], found["rank"]) == ("recommender", 1)
    same = ("method", "optimizer", "batch_size", "epochs")
    assert [found["configuration"][n] for n in same] == [first["configuration"][n] for n in same]


def test_a_rank_of_a_recommendation_is_estimated_on_other_hardware(client: TestClient) -> None:
    asked = {k: v for k, v in question().items() if k != "peft"}
    given = client.post("/v1/recommendations", json={**asked, "count": 2}).json()
    peft = {"recommendation_id": given["id"], "rank": 2}

    here = ask(client, peft=peft)
    slower = ask(client, peft=peft, hardware={"device": "NVIDIA L4"})

    wanted = given["configurations"][1]
    assert here["chosen_by"] == "recommendation"
    assert here["configuration"]["method"] == wanted["configuration"]["method"]
    assert slower["train_seconds"]["expected"] > here["train_seconds"]["expected"]


@pytest.mark.parametrize(
    ("changes", "status", "param", "says"),
    [
        ({"base_model": {"id": "nobody/nothing-3B"}}, 400, "base_model.id", "nothing-3B"),
        ({"base_model": {"id": "../mine"}}, 400, "base_model.id", "never a path"),
        ({"hardware": {"device": "NVIDIA L41S"}}, 400, "hardware.device", "NVIDIA L4"),
        ({"dataset": {"file_id": "file-none"}}, 404, None, "file-none"),
        ({"dataset": {}}, 400, "dataset", "exactly one of"),
        ({"dataset": {"examples": []}}, 400, "dataset.examples", "at least one example"),
        ({"budget": {"memory_gib": 0}}, 400, "budget.memory_gib", "greater than 0, got 0"),
        (
            {"budget": {"usd": 1}, "hardware": {"device": "l40s"}},
            400,
            "budget.usd",
            "needs a price",
        ),
        ({"peft": {}}, 400, "peft", "needs configuration"),
        ({"peft": {"recommendation_id": "rec-none"}}, 404, "recommendation_id", "rec-none"),
        (
            {"peft": {"configuration": {**LORA, "method": {"name": "lora", "r": 0}}}},
            400,
            None,
            "method.r",
        ),
        (
            {"peft": {"configuration": FULL, "serve_with": "vllm"}},
            400,
            "serve_with",
            "cannot be served with vllm",
        ),
        ({"peft": None, "budget": {"memory_gib": 0.1}}, 400, None, "the smallest of"),
    ],
)
def test_a_mistake_is_answered_with_rule_value_and_next_step(
    client: TestClient, changes: dict[str, Any], status: int, param: str | None, says: str
) -> None:
    answer = client.post(URL, json=question(**changes))

    error = answer.json()["error"]
    assert answer.status_code == status
    assert says in error["message"]
    if param is not None:
        assert error["param"] == param


def test_a_recommendation_for_another_model_is_refused(client: TestClient) -> None:
    given = ask(client, peft=None)["recommendation_id"]

    answer = client.post(
        URL, json=question(peft={"recommendation_id": given}, base_model={"id": "gpt2"})
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "base_model.id"


def test_the_same_question_has_the_same_answer(client: TestClient) -> None:
    assert ask(client) == ask(client)


def heights(picture: str, kind: str) -> list[float]:
    bars = ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}rect")
    found = [bar for bar in bars if bar.get("class") == f"part part-{kind}"]
    return [float(bar.get("height") or 0) for bar in found if bar.get("height") != "12"]


def peaks(forward: int, backward: int, optimizer: int) -> dict[Any, Peak]:
    def one(activations: int) -> Peak:
        parts = dict.fromkeys(KINDS, 0) | {"weights": 6 * GIB, "activations": activations * GIB}
        return Peak(peak_bytes=sum(parts.values()), bytes_of=parts)

    return dict(zip(PHASES, map(one, (forward, backward, optimizer)), strict=True))


def test_the_parts_of_the_picture_are_as_high_as_their_bytes() -> None:
    picture = memory_picture(peaks(12, 6, 0), limit_bytes=20 * GIB)

    forward, backward = heights(picture, "activations")
    assert forward == pytest.approx(2 * backward, rel=0.01)
    assert heights(picture, "weights") == pytest.approx([backward] * 3, rel=0.01)
    assert "Forward 18" in (ET.fromstring(picture).get("aria-label") or "")


def test_the_limit_is_a_line_where_it_is_near_and_told_where_it_is_far() -> None:
    near = memory_picture(peaks(12, 6, 0), limit_bytes=20 * GIB)
    far = memory_picture(peaks(12, 6, 0), limit_bytes=80 * GIB)

    assert 'class="limit"' in near
    assert 'class="limit"' not in far
    assert "80\N{NO-BREAK SPACE}GiB, far above this picture" in far


def test_a_family_whose_layers_are_not_known_is_marked(client: TestClient) -> None:
    config = {
        "model_type": "brandnew",
        "hidden_size": 512,
        "intermediate_size": 1376,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "vocab_size": 32_000,
        "max_position_embeddings": 2048,
    }

    known, new = (
        ask(client, base_model={"id": "me/mine", "config": {**config, "model_type": family}})
        for family in ("llama", "brandnew")
    )

    assert not any("brandnew" in note for note in known["notes"])
    assert "of the family brandnew are not known" in new["notes"][0]
    assert new["peak_memory_bytes"] == pytest.approx(known["peak_memory_bytes"])
