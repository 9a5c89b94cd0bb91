import json
from pathlib import Path

import pytest

from metadata.errors import InvalidRequest
from metadata.examples import read_examples, split_examples
from training_worker.campaigns.sources import (
    GENERATED_EXAMPLES,
    SIZES,
    TEST_EXAMPLES,
    VALIDATION_EXAMPLES,
    Sized,
    Source,
    examples_of,
    find_sources,
    generated_name,
    load,
    profile,
    sizes,
)
from training_worker.tasks.datasets import DATASETS, in_file_order

REAL = Path(__file__).parents[4] / "shared" / "data" / "tasks"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a long file, where every prompt stands twice, and of a short one."""
    folder = tmp_path_factory.mktemp("data")
    for name, count in (("long", 1_500), ("short", 100)):
        lines = [
            json.dumps({"prompt": f"word {number // 2}:", "completion": f"answer {number}"})
            for number in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return folder


def test_a_file_has_the_sizes_that_it_holds_examples_for(data: Path) -> None:
    long, short = find_sources(data, ["long", "short"])

    assert [sized.size for sized in sizes(long)] == [40, 200, 1000, 1200]
    assert [sized.size for sized in sizes(short)] == [40, 80]
    assert [sized.name for sized in sizes(short)] == ["short-40", "short-80"]


def test_a_generated_dataset_has_all_sizes() -> None:
    for source in find_sources(None):
        assert [sized.size for sized in sizes(source)] == [*SIZES, GENERATED_EXAMPLES]


@pytest.mark.parametrize("name", ["long", "generated-sorting"])
def test_sizes_differ_in_training_and_share_what_is_held_out(name: str, data: Path) -> None:
    (source,) = find_sources(data, [name])
    small, *larger = (examples_of(sized) for sized in sizes(source))

    assert len(small.train) == SIZES[0]
    assert len(small.validation) == VALIDATION_EXAMPLES
    for splits in larger:
        assert splits.train[: SIZES[0]] == small.train
        assert (splits.validation, splits.test) == (small.validation, small.test)
        assert len(splits.test) <= TEST_EXAMPLES


def test_no_prompt_of_a_file_is_trained_on_and_scored(data: Path) -> None:
    (source,) = find_sources(data, ["long"])
    splits = examples_of(sizes(source)[-1])

    trained = {example.prompt for example in splits.train}
    assert not trained & {example.prompt for example in splits.validation + splits.test}


@pytest.mark.parametrize("size", [*SIZES, GENERATED_EXAMPLES])
def test_a_size_of_facts_is_asked_about_what_it_teaches(size: int) -> None:
    splits = examples_of(Sized(source=Source(group="generated-facts-rules"), size=size))
    taught = [example.completion for example in splits.train]
    held_out = splits.validation + splits.test

    assert len(splits.train) == size
    assert len(splits.test) == min(size // 10, TEST_EXAMPLES)
    assert len(splits.validation) == min(size // 10, VALIDATION_EXAMPLES)
    assert all(taught.count(example.completion) == 10 for example in held_out)


def test_the_largest_size_is_loaded_with_its_held_out_parts_cut(data: Path) -> None:
    (source,) = find_sources(data, ["long"])

    assert len(load(source).train) == 1200
    assert len(load(source).validation) == VALIDATION_EXAMPLES


def test_a_profile_describes_the_file_whose_training_part_has_the_size(data: Path) -> None:
    for source in find_sources(data, ["long", "short", "generated-copying", "generated-guide"]):
        for sized in sizes(source)[:3]:
            described = profile(sized)

            assert described.examples == sized.size * 5 // 4
            kind = source.group if source.file else f"generated-{source.kind}"
            assert described.group == kind
            assert described.name == f"{source.group}-{sized.size}"


def test_the_sizes_of_a_dataset_are_one_group_and_its_kind_is_that_of_its_generator() -> None:
    sources = find_sources(None)

    assert [source.kind for source in sources] == [spec.kind for spec in DATASETS.values()]
    assert [generated_name(source) for source in sources] == list(DATASETS)
    assert sum(source.kind == "facts" for source in sources) == 8
    assert len({source.group for source in sources}) == len(sources)


def test_a_broken_line_of_a_data_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "completion": "b"}\nnonsense\n')

    with pytest.raises(InvalidRequest, match="Line 2"):
        sizes(Source(group="bad", file=tmp_path / "bad.jsonl"))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real datasets are not on this machine")
@pytest.mark.parametrize("name", ["e2e_nlg", "jfleg", "turk_simplification"])
def test_real_files_of_repeated_prompts_keep_them_together(name: str) -> None:
    (source,) = find_sources(REAL, [name])
    with (REAL / f"{name}.jsonl").open("rb") as lines:
        whole = split_examples(tuple(read_examples(lines)))
    trained = {example.prompt for example in whole.train}

    assert len(trained) < len(whole.train)
    assert not trained & {example.prompt for example in whole.validation + whole.test}
    assert len(in_file_order(whole)) >= len(whole.train) * 5 // 4 - 5
    assert sizes(source)[-1].size == len(whole.train)
