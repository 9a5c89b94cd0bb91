"""Where the service of a command is: one that is named, one that runs here, or none at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metadata.errors import PeftwiseError
from service import serving
from service.app import create_app
from service.client import Client, connect, inside
from service.settings import Settings


def settings_of(**given: Any) -> Settings:
    """Return the settings of the environment, with what was given on the command line."""
    chosen = {name: value for name, value in given.items() if value is not None}
    if "data_dir" not in chosen and not os.environ.get("PEFTWISE_DATA_DIR"):
        chosen["data_dir"] = _usual_data_dir()
    return Settings(**chosen)


def _usual_data_dir() -> Path:
    shared = os.environ.get("XDG_DATA_HOME")
    return (Path(shared) if shared else Path.home() / ".local" / "share") / "peftwise"


def client_of(settings: Settings) -> Client:
    """Return the service to ask: one that is named, one that runs here, or none at all."""
    url = _url(settings)
    return _inside(settings) if url is None else connect(url, api_key=key_of(settings))


def _inside(settings: Settings) -> Client:
    idle = settings.model_copy(update={"executor": "none"})
    return inside(create_app(idle), api_key=key_of(settings))


@contextlib.contextmanager
def running_service(settings: Settings, *, wait: bool) -> Iterator[Client]:
    """Yield a service that trains; where none runs, one lives as long as the block."""
    url = _url(settings)
    if url is not None:
        yield connect(url, api_key=key_of(settings))
        return
    if not wait:
        raise PeftwiseError(
            "--no-wait needs a running server, and none runs on this data folder. "
            "Start one with `peftwise serve`."
        )
    with serving.lend_server(settings) as lent:
        yield connect(lent, api_key=key_of(settings))


def _url(settings: Settings) -> str | None:
    named = os.environ.get("PEFTWISE_URL")
    return named or serving.find_server(settings.data_dir, api_key=key_of(settings))


def key_of(settings: Settings) -> str | None:
    """Return the key in clear, for the header that carries it."""
    return None if settings.api_key is None else settings.api_key.get_secret_value()
