import pytest

from metadata.errors import InvalidRequest, UnknownDevice
from metadata.features.device import (
    cache_bytes,
    data_sheet,
    find_device,
    fp32_tflops,
    known_devices,
    this_machine,
)
from metadata.records import Device

GIB = 2**30


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("NVIDIA L40S", "NVIDIA L40S"),
        ("l40s", "NVIDIA L40S"),
        ("nvidia l40s", "NVIDIA L40S"),
        ("L40", "NVIDIA L40"),
        ("rtx4090", "NVIDIA GeForce RTX 4090"),
        ("4090", "NVIDIA GeForce RTX 4090"),
        ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB"),
        ("a100 40 GB", "NVIDIA A100 40GB"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM"),
        ("Tesla T4", "NVIDIA T4"),
        ("RTX 6000 Ada", "NVIDIA RTX 6000 Ada Generation"),
        ("A6000", "NVIDIA RTX A6000"),
    ],
)
def test_a_device_is_found_by_the_names_people_use(given: str, found: str) -> None:
    assert find_device(given).name == found


@pytest.mark.parametrize("device", known_devices(), ids=lambda device: device.name)
def test_every_device_is_found_by_its_own_name_in_lower_case(device: Device) -> None:
    assert find_device(device.name.lower()) == device


def test_a_name_of_two_devices_lists_both() -> None:
    with pytest.raises(UnknownDevice, match=r"names 2: NVIDIA A100 40GB, NVIDIA A100 80GB"):
        find_device("A100")


def test_an_unknown_device_lists_near_ones() -> None:
    with pytest.raises(UnknownDevice, match="Near ones: NVIDIA GeForce RTX 4090"):
        find_device("RTX 4091")


@pytest.mark.parametrize("name", ["", "gpu", "TPU v5", "/dev/nvidia0", "é", "x" * 10_000])
def test_anything_else_is_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(UnknownDevice, match="NVIDIA"):
        find_device(name)


@pytest.mark.parametrize("name", ["RTX 4070 Ti", "4080 Super", "H100 NVL", "RTX 4090 Laptop GPU"])
def test_a_variant_is_not_taken_for_the_plain_one(name: str) -> None:
    with pytest.raises(UnknownDevice):
        find_device(name)


def test_count_and_memory_are_taken_over() -> None:
    device = find_device("l40s", count=4, memory_gib=24)

    assert (device.count, device.memory_bytes) == (4, 24 * GIB)


@pytest.mark.parametrize("memory_gib", [0, -1, float("nan"), float("inf"), 1e9])
def test_absurd_memory_is_refused(memory_gib: float) -> None:
    with pytest.raises(InvalidRequest, match="memory_gib must be from"):
        find_device("l40s", memory_gib=memory_gib)


@pytest.mark.parametrize("count", [0, -1, 2000])
def test_absurd_counts_are_refused(count: int) -> None:
    with pytest.raises(InvalidRequest, match="count must be from"):
        find_device("l40s", count=count)


def test_this_machine_is_a_cpu_of_the_same_figures_each_time() -> None:
    machine = this_machine()

    assert machine.kind == "cpu"
    assert machine.memory_bytes > GIB / 4
    assert machine == this_machine() == find_device("CPU")


def test_the_table_is_plausible() -> None:
    for device in known_devices():
        assert 8 * GIB <= device.memory_bytes <= 300 * GIB
        assert 10 <= device.bf16_tflops <= 3000
        assert 200 <= device.bandwidth_gb_per_second <= 10_000


@pytest.mark.parametrize("device", known_devices(), ids=lambda device: device.name)
def test_every_device_says_where_its_figures_are_from_and_they_are_plausible(
    device: Device,
) -> None:
    source = data_sheet(device)

    assert source is not None
    assert source.endswith(("data sheet", ")", "whitepaper"))
    assert device.bf16_tflops / 32 < fp32_tflops(device) <= device.bf16_tflops / 2 + 0.5
    assert 3 * 2**20 <= cache_bytes(device) < 2**30
    assert 20 < 1e3 * device.bf16_tflops / device.bandwidth_gb_per_second < 500  # FLOPs a byte


def test_a_device_not_in_the_table_has_usual_figures_and_no_source() -> None:
    strange = find_device("l40s").model_copy(update={"name": "Strange"})

    assert data_sheet(strange) is None
    assert fp32_tflops(strange) == strange.bf16_tflops / 4
    assert cache_bytes(strange) == 40 * 2**20
