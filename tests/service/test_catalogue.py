"""The tables over HTTP say what each entry says, and how many past runs tried it."""

from collections import Counter
from typing import Any

import pytest
from starlette.testclient import TestClient

from metadata.knowledge import Knowledge
from metadata.methods import METHODS
from metadata.optimizers import OPTIMIZERS, SCHEDULES
from metadata.parameters import Categorical

TABLES: dict[str, Any] = {"methods": METHODS, "optimizers": OPTIMIZERS, "schedules": SCHEDULES}


@pytest.fixture
def known(client: TestClient) -> Knowledge:
    current: Knowledge = client.app.state.services.knowledge.current  # type: ignore[attr-defined]
    return current


@pytest.mark.parametrize("name", TABLES)
def test_a_list_has_every_entry_in_order_with_all_its_values(client: TestClient, name: str) -> None:
    listed = client.get(f"/v1/{name}").json()

    table = TABLES[name]
    assert [one["name"] for one in listed["data"]] == list(table)
    assert (listed["has_more"], listed["last_id"]) == (False, list(table)[-1])
    for one in listed["data"]:
        spec = table[one["name"]]
        assert (one["title"], one["paper"]) == (spec.title, spec.paper)
        assert [p["name"] for p in one["parameters"]] == [p.name for p in spec.parameters]
        for told, parameter in zip(one["parameters"], spec.parameters, strict=True):
            assert told["default"] == parameter.default
            if isinstance(parameter, Categorical):
                assert (told["kind"], told["choices"]) == ("choice", list(parameter.choices))
            else:
                assert (told["lower"], told["upper"]) == (parameter.lower, parameter.upper)


def test_a_method_says_what_it_needs_and_what_can_load_its_result(client: TestClient) -> None:
    for one in client.get("/v1/methods").json()["data"]:
        spec = METHODS[one["name"]]
        assert one["family"]
        assert len(one["conditions"]) == len(spec.conditions)
        assert all(one["conditions"])
        assert one["served_by"] == list(spec.served_by)
        assert one["quantizations"] == list(spec.quantizations)
        assert (one["rate_factor"], one["rate_source"]) == (spec.rate_factor, spec.rate_source)
        told = (one["starts_at_base"], one["trains_base"], one["packs"])
        assert told == (spec.starts_at_base, spec.trains_base, spec.packs)
        assert one["merges"] == (one["no_merge"] is None) == ("merged" in one["served_by"])
        assert (one["exports"] == ["lora"]) == (one["no_lora"] is None)


def test_lora_is_told_as_its_paper_has_it(client: TestClient) -> None:
    lora = client.get("/v1/methods/lora").json()

    assert lora in client.get("/v1/methods").json()["data"]
    assert (lora["family"], lora["paper"]) == ("low_rank", "arXiv:2106.09685")
    assert lora["conditions"] == ["r is at most the smallest width it is used on."]
    assert lora["served_by"] == ["peft", "merged", "vllm"]
    assert lora["exports"] == ["lora"]


def test_an_optimizer_says_what_it_goes_with(client: TestClient) -> None:
    for one in client.get("/v1/optimizers").json()["data"]:
        spec = OPTIMIZERS[one["name"]]
        assert one["methods"] == (list(spec.methods) or None)
        assert one["target_modules"] == (list(spec.target_modules) or None)
        assert one["schedules"] == (list(spec.schedules) or None)
        assert (one["kind"], one["needs_cuda"]) == (spec.kind, spec.needs_cuda)
        assert one["state_bytes_per_weight"] == spec.state_bytes


@pytest.mark.parametrize(
    ("table", "choice"),
    [("methods", "method"), ("optimizers", "optimizer"), ("schedules", "schedule")],
)
def test_past_runs_are_those_of_the_knowledge_that_answers(
    client: TestClient, known: Knowledge, table: str, choice: str
) -> None:
    counts = Counter(getattr(run.configuration, choice).name for run in known.past.runs)

    told = {one["name"]: one["past_runs"] for one in client.get(f"/v1/{table}").json()["data"]}

    assert {name: one["count"] for name, one in told.items()} == {n: counts[n] for n in told}
    assert sum(one["count"] for one in told.values()) == len(known.past.runs)
    for one in told.values():
        assert one["says"].startswith("No past run tried it") == (one["count"] == 0)
        assert 0 <= one["tasks"] <= one["count"]


def test_a_near_name_is_proposed_for_a_method_that_is_not_known(client: TestClient) -> None:
    answer = client.get("/v1/methods/lorra")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Did you mean lora" in answer.json()["detail"]
    assert "Did you mean" not in client.get("/v1/methods/%00").json()["detail"]
