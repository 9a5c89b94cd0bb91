"""A version of knowledge on disk: JSON, npz, Parquet and LightGBM's own text; never pickle.

knowledge.json     version, where it comes from, how good it is, portfolio, small values
arrays.npz         numbers
runs.parquet       past runs to point at, without curves
models/NAME-00.txt boosted trees
"""

import gzip
import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metadata.errors import InvalidRequest
from metadata.features import FEATURES, TASK_FEATURES

FORMAT = 6
VERSION_CHARACTERS = 16
NEXT_STEP = "Make it again with `python -m metadata fit`."


@dataclass(frozen=True, kw_only=True)
class Content:
    """All of a version; `runs` is JSON."""

    values: Mapping[str, Any]
    runs: str
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def content_version(content: Content) -> str:
    """Return a hash of all that a version says, whatever the files around it."""
    digest = hashlib.sha256(_json(content.values).encode())
    for name, array in sorted(content.arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    for name, texts in sorted(content.texts.items()):
        digest.update(f"{name} {len(texts)}".encode() + "".join(texts).encode())
    digest.update(content.runs.encode())
    return digest.hexdigest()[:VERSION_CHARACTERS]


def write(folder: Path, content: Content, *, version: str) -> None:
    """Write a version to a folder; what an older one left there goes."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    for path in models.glob("*.txt"):
        path.unlink()
    for name, texts in content.texts.items():
        for number, text in enumerate(texts):
            (models / f"{name}-{number:02d}.txt").write_text(text)
    np.savez_compressed(
        folder / "arrays.npz", allow_pickle=False, **dict(sorted(content.arrays.items()))
    )
    # Without a time, so that the same content gives the same bytes.
    (folder / "runs.json.gz").write_bytes(gzip.compress(content.runs.encode(), mtime=0))
    head = {
        "format": FORMAT,
        "version": version,
        "features": list(FEATURES),
        "task_features": list(TASK_FEATURES),
        **content.values,
    }
    (folder / "knowledge.json").write_text(_json(head, indent=1) + "\n")


def read(folder: Path) -> tuple[Content, str]:
    """Return what `write` wrote: content and version.

    Raises:
        InvalidRequest: There is nothing, it is damaged, or made for other features.
    """
    try:
        head = json.loads((folder / "knowledge.json").read_text())
        if head.get("format") != FORMAT:
            raise _refusal(f"its format must be {FORMAT}, got {head.get('format')!r}")
        with (folder / "arrays.npz").open("rb") as file:  # np.load leaves a broken one open
            loaded = np.load(file, allow_pickle=False)
            arrays = {name: loaded[name] for name in loaded.files}
        texts = _read_texts(folder / "models")
        runs = gzip.decompress((folder / "runs.json.gz").read_bytes()).decode()
    except FileNotFoundError as error:
        missing = Path(error.filename or "knowledge.json").name
        raise _refusal(f"it has no {missing}") from None
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise _refusal(f"it is damaged: {type(error).__name__}") from None
    features, task_features = head.pop("features"), head.pop("task_features")
    if not set(features) <= set(FEATURES) or task_features != list(TASK_FEATURES):
        raise _refusal("it was made for other features than this version describes tasks by")
    version, _ = head.pop("version"), head.pop("format")
    content = Content(values=head, runs=runs, arrays=arrays, texts=texts)
    if content_version(content) != version:
        raise _refusal("it is damaged: its content does not give its version")
    return replace(content, arrays=_aligned(arrays, features)), version


def _aligned(
    arrays: Mapping[str, NDArray[Any]], features: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Return the arrays with `FEATURES` as their last axis F, where entries have come to a table.

    Those were not tried then: their columns are 0, and 1 in a scale.
    """
    places = [FEATURES.index(name) for name in features]
    aligned = dict(arrays)
    for name, array in arrays.items():
        if name.endswith("F"):
            rest = 1.0 if name.endswith("scale_F") else 0.0
            aligned[name] = np.full((*array.shape[:-1], len(FEATURES)), rest, array.dtype)
            aligned[name][..., places] = array
    return aligned


def _read_texts(folder: Path) -> dict[str, tuple[str, ...]]:
    texts: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.glob("*.txt")):
        name = path.stem.rpartition("-")[0]
        texts[name] = (*texts.get(name, ()), path.read_text())
    return texts


def _refusal(reason: str) -> InvalidRequest:
    return InvalidRequest(f"This folder holds no usable knowledge: {reason}. {NEXT_STEP}")


def _json(value: object, *, indent: int | None = None) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False, indent=indent)
