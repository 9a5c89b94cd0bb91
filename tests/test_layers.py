"""The directions of imports, read from the source, and what an import loads, seen in a process."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "metadata": {"metadata"},
    "service": {"service", "metadata"},
    "training_worker": {"training_worker", "metadata"},
}
HEAVY = {"torch", "transformers", "peft", "accelerate", "pytorch_optimizer"}
WEB = {"fastapi", "starlette", "uvicorn", "jinja2"}


@cache
def modules() -> Mapping[str, Path]:
    """Return every module of the three packages by its dotted name."""
    return {
        _name(path): path
        for package in MAY_IMPORT
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(name: str, *, anywhere: bool = True) -> Iterator[str]:
    """Yield the dotted names that a module imports; else those it imports when it is loaded."""
    tree = ast.parse(modules()[name].read_text())
    for node in ast.walk(tree) if anywhere else _while_loading(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else node.module


def _while_loading(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _while_loading(child)


def owner(name: str) -> str:
    return name.partition(".")[0]


def test_all_three_packages_are_looked_at() -> None:
    assert {owner(name) for name in modules()} == set(MAY_IMPORT)
    assert {"metadata.history", "service.settings", "training_worker.run"} <= set(modules())


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_in_the_agreed_directions(package: str) -> None:
    forbidden = set(MAY_IMPORT) - MAY_IMPORT[package]

    wrong = {
        name: sorted(found)
        for name in modules()
        if owner(name) == package
        and (found := {other for other in imported(name) if owner(other) in forbidden})
    }

    assert wrong == {}


@pytest.mark.parametrize(
    ("package", "libraries"),
    [("metadata", HEAVY | WEB), ("service", HEAVY), ("training_worker", WEB)],
)
def test_libraries_stay_where_they_belong(package: str, libraries: set[str]) -> None:
    wrong = {
        name: sorted(found)
        for name in modules()
        if owner(name) == package
        and (found := {owner(other) for other in imported(name)} & libraries)
    }

    assert wrong == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {
        name: {other for other in imported(name, anywhere=False) if other in known} - {name}
        for name in known
    }

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' -> '.join(error.args[1])}")


def test_no_import_of_our_own_hides_in_a_function() -> None:
    hidden = {
        name: sorted(found)
        for name in modules()
        if (found := (set(imported(name)) - set(imported(name, anywhere=False))) & set(modules()))
    }

    assert hidden == {}


LOAD_EVERYTHING = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
print(*sorted(set(sys.argv[1].split(",")) & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("packages", "libraries"),
    [({"metadata"}, HEAVY | WEB | {"service"}), ({"metadata", "service"}, HEAVY)],
    ids=["metadata", "service"],
)
def test_loading_leaves_torch_unloaded(packages: set[str], libraries: set[str]) -> None:
    names = [
        name
        for name in modules()
        if owner(name) in packages and not name.endswith("__main__") and ".migrations" not in name
    ]

    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_EVERYTHING, ",".join(sorted(libraries)), *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert loaded.returncode == 0, loaded.stderr[-2000:]
    assert loaded.stdout.split() == []
