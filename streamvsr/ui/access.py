"""Who may ask.

Every request needs the token: once in the address (``/?token=...``), from then on in a cookie that no other site's
request carries, or as ``Authorization: Bearer``. ``Host`` has to be an address or one of this machine's names, so that
a foreign name that is made to point here (DNS rebinding) gets nothing, and ``Origin``, where a browser sends it, has to
be this server.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, token: str, port: int, host: str) -> None:
        self._app, self._token, self._port, self._host = app, token, port, host
        self.cookie = f"streamvsr_{port}"
        """Cookies know no ports: two servers on one machine have two names."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = "websockets are not spoken here" if scope["type"] != "http" else self._refusal(headers, scope)
        set_cookie = False
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if refusal is None and not self._knows(self._from_cookie(headers)) and not self._knows(self._bearer(headers)):
            if scope["path"] == "/" and self._knows(given):
                set_cookie = True
            else:
                refusal = "open the address that streamvsr ui has printed: it has the token"

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = dict(HEADERS)
                if set_cookie:
                    extra["set-cookie"] = f"{self.cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode("latin-1")) for name, value in extra.items()),
                ]
            await send(message)

        if refusal is not None:
            response: Response = JSONResponse({"error": refusal}, status_code=403)
            await response(scope, receive, sealed)
            return
        await self._app(scope, receive, sealed)

    def _refusal(self, headers: dict[str, str], scope: Scope) -> str | None:
        if not self._is_ours(headers.get("host", "")):
            return "this name is not one of this server's"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return "a page of another site asks"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["path"] != "/":
            return "a page of another site asks"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if port != self._port:
            return False
        if name in ("localhost", self._host):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return not self._loopback() and name.lower() == socket.gethostname().lower()
        return address.is_loopback or not self._loopback()

    def _loopback(self) -> bool:
        return self._host in ("127.0.0.1", "::1", "localhost")

    def _from_cookie(self, headers: dict[str, str]) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return found.value if found is not None else ""

    @staticmethod
    def _bearer(headers: dict[str, str]) -> str:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def _knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())
