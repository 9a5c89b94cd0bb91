"""Which GPUs there are is asked of a program in `nvidia-smi`'s place, started as that one is."""

from pathlib import Path

import pytest

from service.executors.devices import Gpu, choose, first_gpu, visible_devices


def nvidia_smi(folder: Path, script: str) -> dict[str, str]:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": str(folder)}


def test_all_gpus_are_found_by_names_that_no_order_changes(tmp_path: Path) -> None:
    environment = nvidia_smi(
        tmp_path,
        '[ "$*" = "--query-gpu=uuid --format=csv,noheader,nounits" ] && echo GPU-11 && echo GPU-22',
    )

    assert visible_devices(environment) == ("GPU-11", "GPU-22")


def test_without_a_driver_there_are_none(tmp_path: Path) -> None:
    assert visible_devices(nvidia_smi(tmp_path, "echo no driver; exit 9")) == ()
    assert visible_devices({"PATH": "/nowhere"}) == ()


@pytest.mark.parametrize(("given", "seen"), [("2,3", ("2", "3")), ("", ()), ("-1", ())])
def test_what_this_server_was_given_comes_first(
    tmp_path: Path, given: str, seen: tuple[str, ...]
) -> None:
    environment = nvidia_smi(tmp_path, "echo GPU-11") | {"CUDA_VISIBLE_DEVICES": given}

    assert visible_devices(environment) == seen


TWO_KINDS = (
    'case "$1" in *memory*) echo "0, GPU-11, NVIDIA A10, 24564"; '
    'echo "1, GPU-22, NVIDIA L40S, 46068";; *) echo GPU-11; echo GPU-22;; esac'
)


@pytest.mark.parametrize(
    ("given", "name"), [(None, "A10"), ("1", "L40S"), ("GPU-22,GPU-11", "L40S"), ("", None)]
)
def test_the_first_gpu_that_may_be_used_tells_its_name_and_memory(
    tmp_path: Path, given: str | None, name: str | None
) -> None:
    environment = nvidia_smi(tmp_path, TWO_KINDS)
    if given is not None:
        environment["CUDA_VISIBLE_DEVICES"] = given

    found = first_gpu(environment)

    gib = {"A10": 24564 / 1024, "L40S": 46068 / 1024}
    assert found == (None if name is None else Gpu(name=f"NVIDIA {name}", memory_gib=gib[name]))


def test_a_gpu_without_a_memory_of_its_own_is_not_known(tmp_path: Path) -> None:
    script = 'echo "0, GPU-11, NVIDIA GB10, [N/A]"'
    environment = nvidia_smi(tmp_path, script) | {"CUDA_VISIBLE_DEVICES": "0"}

    assert first_gpu(environment) is None


def test_devices_that_nobody_uses_are_taken_first() -> None:
    assert choose(("a", "b", "c"), ["a", "c"], 1) == ("b",)
    assert choose(("a", "b", "c"), ["a", "b", "c", "a"], 2) == ("b", "c")
    assert choose((), [], 2) == ()
