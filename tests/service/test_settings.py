from pathlib import Path

import pytest
from pydantic import ValidationError

from metadata.errors import InvalidRequest
from service.security import check_settings, names_of
from service.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.53"])
def test_this_machine_alone_needs_no_key(host: str) -> None:
    check_settings(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_any_other_address_needs_a_key(host: str) -> None:
    with pytest.raises(InvalidRequest, match="PEFTWISE_API_KEY"):
        check_settings(Settings(host=host))

    check_settings(Settings(host=host, api_key="a long random text"))


@pytest.mark.parametrize("key", ["", "   "])
def test_a_blank_key_is_no_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEFTWISE_API_KEY", key)
    monkeypatch.setenv("PEFTWISE_HOST", "0.0.0.0")

    with pytest.raises(InvalidRequest):
        check_settings(Settings())


def test_every_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEFTWISE_PORT", "9000")
    monkeypatch.setenv("PEFTWISE_ALLOWED_HOSTS", "box.lan, Peftwise.Example")
    monkeypatch.setenv("PEFTWISE_MODELS", '{"mine": "/models/mine"}')

    settings = Settings()

    assert settings.port == 9000
    assert {"box.lan", "peftwise.example", "127.0.0.1"} <= names_of(settings)
    assert settings.models == {"mine": Path("/models/mine")}


def test_key_and_database_password_are_not_shown() -> None:
    settings = Settings(api_key="top-secret", database_url="postgresql://u:hidden@db/x")

    assert "top-secret" not in f"{settings!r} {settings}"
    assert "hidden" not in f"{settings!r} {settings}"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000")],
)
def test_a_worker_on_this_machine_is_given_a_loopback_address(host: str, url: str) -> None:
    assert Settings(host=host).url == url
