"""What stands between the network and the routes: headers, the session cookie, foreign sites, sizes. No tweets."""

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from settings import X_ITSELF, Settings

LARGEST_BODY = 64 * 1024
SESSION_DAYS = 30
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
X_FORMS = {X_ITSELF, "https://x.com", "https://twitter.com", "https://api.twitter.com"}  # where X may send a sign-in
COMPRESSED = [Middleware(GZipMiddleware, minimum_size=2000)]  # for pages and files: none holds a secret it could betray
DRAIN = 8 * 1024 * 1024  # bytes of a refused body that are read and thrown away before the answer


def around(settings: Settings, refuse: Callable[[Request, Exception], Response]) -> list[Middleware]:
    """What a request passes on its way to a route, outermost first."""
    policy = content_policy(X_FORMS if settings.x_api_url == X_ITSELF else {origin(settings.x_api_url)})
    name = "__Host-session" if settings.production else "session"  # the prefix: no other host can have set it
    return [
        Middleware(headers, policy=policy, secure=settings.production),
        Middleware(ServerErrorMiddleware, handler=refuse),  # in here: a 500 has the headers too
        Middleware(
            SessionMiddleware, secret_key=settings.session_secret, session_cookie=name,
            max_age=SESSION_DAYS * 86400, https_only=settings.production,
        ),
        Middleware(checked, public_url=settings.public_url, refuse=refuse),
        Middleware(bounded, limit=LARGEST_BODY),
    ]  # fmt: skip


def headers(app: ASGIApp, *, policy: str, secure: bool) -> ASGIApp:
    """Add the security headers to every answer, and keep it out of shared caches unless the route says otherwise."""
    named = {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    if secure:
        named["Strict-Transport-Security"] = "max-age=31536000"
    fixed = Headers(named).raw  # no route sets one of these: they need not be looked for

    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.raw.extend(fixed)
                answer.setdefault("Cache-Control", "private, no-cache")
            await send(message)

        await app(scope, receive, send_with_headers)

    return with_headers


def content_policy(form_targets: set[str]) -> str:
    """Build the Content-Security-Policy: our own files only, and forms that may end at these origins.

    Chromium holds `form-action` against redirects too: without X's origins the sign-in button does nothing, silently.
    """
    targets = " ".join(["'self'", *sorted(form_targets)])
    own = "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
    return f"default-src 'none'; {own}; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"


def origin(url: str) -> str:
    """Scheme, host and port of an address, as browsers write an Origin."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def checked(app: ASGIApp, *, public_url: str, refuse: Callable[[Request, Exception], Response]) -> ASGIApp:
    """Refuse what no page of ours asks, before anything of it is read."""

    async def within(scope: Scope, receive: Receive, send: Send) -> None:
        error = _objection(scope["method"], Headers(scope=scope), public_url) if scope["type"] == "http" else None
        if error is None:
            await app(scope, receive, send)
        else:
            await refuse(Request(scope, receive), error)(scope, receive, send)

    return within


def _objection(method: str, sent: Headers, public_url: str) -> HTTPException | None:
    if "transfer-encoding" in sent and "content-length" in sent:  # the server ahead of us may have gone by the other
        return HTTPException(
            400, "This request names its length in two ways: send one of them.", headers={"Connection": "close"}
        )
    if method not in SAFE and not _is_ours(sent, public_url):
        return HTTPException(
            403, "This request came from another site, so nothing was done. Open this page and try again here."
        )
    return None


def _is_ours(sent: Headers, public_url: str) -> bool:
    """Whether it comes from our own page, or from a program: those that are no browser send neither header."""
    site, page = sent.get("sec-fetch-site"), sent.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    if page is None:
        return True
    return page.lower() == origin(public_url) or urlsplit(page.lower()).netloc == sent.get("host", "").lower()


def bounded(app: ASGIApp, *, limit: int) -> ASGIApp:
    """Stop a body over `limit` bytes with HTTPException(413) where the route reads it.

    Not Starlette's max_body_size: that answers in plain text, and hangs up on a sender who then never sees the answer.
    """

    async def within(scope: Scope, receive: Receive, send: Send) -> None:
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= limit:
                return message
            while message.get("more_body") and size <= DRAIN:
                message = await receive()
                size += len(message.get("body", b""))
            raise HTTPException(
                413, f"This request holds more than {limit // 1024} KB, and nothing was read. Shorten it."
            )

        await app(scope, counted, send)

    return within
