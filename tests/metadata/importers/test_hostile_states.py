"""States and adapters of the Trainer, cut off, odd or made up: a run, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.metadata.importers.conftest import LORA, STATE, trainer_folder


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[1, 2]",
        '"text"',
        "[" * 100_000,
        '{"log_history":' * 50_000,
        json.dumps(STATE)[:-5],
        b"\xff\xfe\x00",
        b"\x80\x81\x82",
        json.dumps(STATE).encode() + b"\xff",
        '{"global_step": 1' + "0" * 5000 + "}",
    ],
    ids=[
        "empty", "cut at once", "null", "list", "text", "deep list", "deep object", "cut off",
        "half UTF-16", "no encoding", "a bad byte", "a number of 5,000 digits",
    ],
)  # fmt: skip
def test_a_state_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, take: Any, content: str | bytes
) -> None:
    trainer_folder(tmp_path / "good")
    trainer_folder(tmp_path / "bad", content)

    taken = take(tmp_path)

    assert len(taken.runs) == 1
    assert [one.where for one in taken.report.refused] == ["bad"]
    assert str(tmp_path) not in taken.report.model_dump_json()


@pytest.mark.parametrize(
    "odd",
    [
        {"global_step": 10**400}, {"epoch": float("nan")}, {"epoch": -1}, {"epoch": "many"},
        {"epoch": 1e300}, {"max_steps": None}, {"log_history": {"step": 1}},
        {"log_history": [None, 3, "x", {"step": -5, "loss": 1e400}, {"step": 1e300, "loss": 1}]},
        {"log_history": [{"step": 1, "loss": "\ud800", "\ud800\x00": 1.0, "": 2.0}]},
        {"log_history": [{"step": 1, "n" * 5000: 1.0}]}, {"train_batch_size": 10**30},
        {"num_input_tokens_seen": -3},
    ],
    ids=lambda odd: f"{next(iter(odd))} {str(next(iter(odd.values())))[:12]!a}",
)  # fmt: skip
def test_odd_values_are_left_out_and_the_run_is_taken(
    tmp_path: Path, take: Any, odd: dict[str, Any]
) -> None:
    state = json.dumps({**STATE, **odd})

    taken = take(trainer_folder(tmp_path / "out", state))

    assert len(taken.runs) == 1, taken.report.refused


@pytest.mark.parametrize(
    "config",
    [
        {"peft_type": None}, {"peft_type": 3}, {"peft_type": "LORA", "r": 10**400},
        {"peft_type": "../../etc/passwd"}, {"peft_type": "LORA", "r": float("inf")},
        {"peft_type": "LORA", "r": "8", "target_modules": {"a": 1}}, {},
        {"peft_type": "X" * 10_000, **{f"key{n}": n for n in range(500)}},
        {"peft_type": "LORA", "target_modules": ["q_proj"] * 100_000},
        {"peft_type": "LORA", "name": "other", "values": 1, "lora_alpha": [1]},
    ],
)  # fmt: skip
def test_odd_adapters_are_taken_as_they_are(tmp_path: Path, take: Any, config: Any) -> None:
    folder = trainer_folder(tmp_path / "out")
    (folder / "adapter_config.json").write_text(json.dumps(config))

    run = take(folder).only

    assert "configuration.method" in run.origin.gaps


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner)
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    state=st.dictionaries(st.sampled_from([*STATE, "train_batch_size", "x"]), values),
    log=st.lists(
        st.dictionaries(
            st.sampled_from(["step", "loss", "eval_loss", "train_runtime", "learning_rate"]), values
        ),
        max_size=5,
    ),
    adapter=st.dictionaries(
        st.sampled_from([*LORA, "target_modules", "use_dora", "init_lora_weights"]), values
    ),
)
def test_whatever_the_json_says_it_is_a_run_or_refused(
    tmp_path_factory: pytest.TempPathFactory, take: Any, state: Any, log: Any, adapter: Any
) -> None:
    folder = tmp_path_factory.mktemp("out")
    (folder / "trainer_state.json").write_text(json.dumps({**state, "log_history": log}))
    (folder / "adapter_config.json").write_text(json.dumps(adapter))

    taken = take(folder)

    assert len(taken.runs) + taken.report.refused_count == 1
