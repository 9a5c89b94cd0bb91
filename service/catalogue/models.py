"""The base models that can be trained here, and what is known of each."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from metadata.errors import InvalidRequest, NotFound, UnknownModel
from metadata.features.model import find_model, known_models, profile_model
from metadata.records import ModelProfile

# A name, or two with one slash between; dots only inside, so that no name climbs out of a folder.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")
_MAX_ID = 200


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A base model; one of the server's own list lies on this machine."""

    profile: ModelProfile
    is_listed: bool


class Models:
    """Models by id: the server's own list first, then the table of public ones.

    No id from a request is ever opened as a path: local folders come from the settings alone.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Read the profile of each listed folder.

        Raises:
            InvalidRequest: A folder has no readable `config.json`.
        """
        self._folders = dict(folders)
        self._listed = {name: _read_profile(name, folder) for name, folder in folders.items()}

    def find(self, model_id: str, *, param: str = "model") -> ModelProfile:
        """Return the profile of a model.

        Raises:
            InvalidRequest: The id is a path or an address.
            UnknownModel: No such id is known; the message lists near ones.
        """
        if model_id in self._listed:
            return self._listed[model_id]
        if not is_model_id(model_id):
            raise InvalidRequest(
                f"{param} must be the id of a model, never a path or an address; got "
                f"{model_id[:80]!r}. Use an id of GET /v1/models, or let the server's owner list "
                "the folder in PEFTWISE_MODELS.",
                param=param,
            )
        try:
            return find_model(model_id)
        except UnknownModel as error:
            raise UnknownModel(str(error), param=param) from None

    def get(self, model_id: str) -> KnownModel:
        """Return a model of the list or the table.

        Raises:
            NotFound: There is no such model.
        """
        try:
            return KnownModel(profile=self.find(model_id), is_listed=model_id in self._listed)
        except InvalidRequest as error:
            raise NotFound(str(error), param="model") from None

    def folder(self, model_id: str) -> Path | None:
        """Return where a listed model lies, or None for one of the table."""
        return self._folders.get(model_id)

    def __iter__(self) -> Iterator[KnownModel]:
        """Yield every known model, the server's own first."""
        for profile in self._listed.values():
            yield KnownModel(profile=profile, is_listed=True)
        for profile in known_models():
            if profile.id not in self._listed:
                yield KnownModel(profile=profile, is_listed=False)


def is_model_id(text: str) -> bool:
    """Say whether a text can only be the id of a model, not a path or an address."""
    return len(text) <= _MAX_ID and ".." not in text and _ID.fullmatch(text) is not None


def _read_profile(model_id: str, folder: Path) -> ModelProfile:
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise InvalidRequest(
            f"PEFTWISE_MODELS names the folder {folder} for {model_id!r}, but its config.json "
            f"cannot be read ({type(error).__name__}). Give the folder of a Hugging Face model.",
            param="models",
        ) from None
    return profile_model(config, id=model_id)
