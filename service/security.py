"""What every request passes before a route sees it: name, origin, key; and the answer's headers.

A service on a laptop is reached by every web page its owner opens. So it answers only to names
it knows (no DNS rebinding), takes no change from another origin, and asks for its key, where it
has one, on every route. Pure ASGI, so that bodies stream.
"""

import base64
import binascii
import hmac
import logging
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metadata.errors import InvalidRequest
from service.errors import Failure, answer, internal_error
from service.settings import Settings

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
WORKER_ROUTES = "/v1/worker/"  # these ask for a claim code or the token of an attempt instead
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers then say `Origin: null` for the forms of our own pages.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
CHART_HEADERS = {  # of pages with Plotly, which styles what it draws, and draws pictures to save
    "Content-Security-Policy": (
        f"{_POLICY}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
    ),
}
_WILDCARDS = frozenset({"0.0.0.0", "::"})


class Refused(Exception):
    """A request that no route may see."""

    def __init__(self, failure: Failure) -> None:
        """Keep what is answered."""
        super().__init__(failure.message)
        self.failure = failure


def check_settings(settings: Settings) -> None:
    """Refuse to listen beyond this machine without a key.

    Raises:
        InvalidRequest: The host is not a loopback address and there is no key.
    """
    if settings.is_local or settings.api_key is not None:
        return
    raise InvalidRequest(
        f"Listening on {settings.host!r} opens the service to other machines and needs a key. "
        "Set PEFTWISE_API_KEY to a long random text, or listen on 127.0.0.1.",
        param="host",
    )


def names_of(settings: Settings) -> frozenset[str]:
    """Return the names this server answers to, without ports, in lower case."""
    own = () if settings.host in _WILDCARDS else (_bracketed(settings.host),)
    return LOCAL_NAMES | {name.lower() for name in (*own, *settings.allowed_hosts)}


class AnswerGuard:
    """Add the safe headers to every answer, and turn our own mistakes into a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the whole application, its error answers too."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_started = False

        async def send_safely(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, send_safely)
        except Exception:  # the last stop: the caller must not see a traceback, the log must
            log.exception("%s %s failed", scope["method"], scope["path"])
            if is_started:
                raise
            await internal_error(scope["path"])(scope, receive, send_safely)


class RequestGuard:
    """Refuse requests by another name, from another origin, or without the key."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        """Read names and key once."""
        self.app = app
        self.names = names_of(settings)
        self.key = None if settings.api_key is None else settings.api_key.get_secret_value()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # no route speaks it
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except Refused as refused:
            await answer(scope["path"], refused.failure)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        check_host(headers.getlist("host"), names=self.names)
        check_target(scope)
        if scope["method"] not in SAFE_METHODS:
            check_origin(headers)
        if self.key is not None and not scope["path"].startswith(WORKER_ROUTES):
            check_key(headers, key=self.key, is_page=_is_page(scope["path"]))


def check_host(hosts: Iterable[str], *, names: frozenset[str]) -> None:
    """Refuse a request that calls this server by a name that is not its own."""
    given = list(hosts)
    if len(given) == 1 and _without_port(given[0]) in names:
        return
    shown = given[0][:100] if given else "none"
    raise Refused(
        Failure(
            status=400,
            message=(
                f"The Host header must name this server, got {shown!r}. Use http://127.0.0.1, or "
                "add the name to PEFTWISE_ALLOWED_HOSTS and start the server again."
            ),
            code="unknown_host",
        )
    )


def check_target(scope: Scope) -> None:
    """Refuse NUL in an address: no id holds it, and not every database takes it."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        message = "An address may not hold NUL characters (%00). Remove them."
        raise Refused(Failure(status=400, message=message, code="invalid_request"))


def check_origin(headers: Headers) -> None:
    """Refuse a change that a page of another origin asks for; programs send neither header."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    host = headers["host"].lower()
    own = {f"http://{host}", f"https://{host}"}
    if (origin is None or origin.lower() in own) and site not in {"cross-site", "same-site"}:
        return
    seen = f"Origin {origin[:100]!r}" if origin is not None else f"Sec-Fetch-Site {site!r}"
    message = (
        f"Only pages of this server may change things here, got {seen}. "
        "Use the server's own page, the command line or a program."
    )
    raise Refused(Failure(status=403, message=message, code="foreign_origin"))


def check_key(headers: Headers, *, key: str, is_page: bool) -> None:
    """Refuse a request without the server's key, as Bearer or as the password of Basic."""
    given = _given_key(headers.get("authorization", ""))
    if given is not None and hmac.compare_digest(given, key.encode()):
        return
    seen = "none" if "authorization" not in headers else "another"
    scheme = 'Basic realm="peftwise", charset="UTF-8"' if is_page else "Bearer"
    message = (
        f"This server asks for its key on every route, got {seen}. Send `Authorization: Bearer "
        "KEY`, or log in with the key as password; the command line reads PEFTWISE_API_KEY."
    )
    raise Refused(
        Failure(
            status=401,
            message=message,
            code="invalid_api_key",
            headers={"WWW-Authenticate": scheme},
        )
    )


def _given_key(authorization: str) -> bytes | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode("latin-1")  # headers arrive as latin-1: these are their bytes
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None


def _is_page(path: str) -> bool:
    return not path.startswith(("/v1/", "/openapi.json", "/livez", "/readyz"))


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if ip_address(host).version == 6 else host
    except ValueError:
        return host
