"""What every request must pass before it reaches the service: key, size, content type, rate.

Plain ASGI, since Starlette's ``BaseHTTPMiddleware`` costs more than the prediction itself.
"""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Health is answered without a key.
OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})
#: Path that a collector on this machine may read without one.
METRICS = "/metrics"
JSON_TYPE = "application/json"
#: Seconds within which a body must have arrived, and bodies that are worked on at one time: one that stalls keeps no
#: place from the others, since places are taken once a body is whole.
ARRIVES, PLACES = 5.0, 64
#: Requests at one time, with those whose body is waited for.
OPEN = 4096
#: How much of a body that is too large is still read and thrown away, in multiples of the limit.
DISCARDED = 4
#: What a client is told that may come again.
AGAIN = ((b"retry-after", b"1"),)


class Guard:
    """ASGI middleware: 401 for a wrong API key, 429 above the rate, 415, 413 and 408 before the body is parsed.

    ``key_sha256``: hexadecimal sha256 of the accepted keys; none given, none asked. ``max_body``: bytes.
    ``rate``: POST requests per second and key, with bursts of ``burst``; 0 sets no limit. ``headers`` are
    added to every answer, health included. ``router``: a header that the router sets on every request, where there is
    one: what has none was sent on this machine to the process itself, and may read metrics without a key. Empty: what
    came from elsewhere cannot be told apart. ``also``: the content type that a path takes beside JSON.
    """

    def __init__(
        self,
        app: App,
        key_sha256: Iterable[str] = (),
        max_body: int = 2 << 20,
        rate: float = 0.0,
        burst: int = 100,
        headers: Mapping[str, str] | None = None,
        arrives: float = ARRIVES,
        places: int = PLACES,
        router: bytes = b"",
        also: Mapping[str, str] | None = None,
        open: int = OPEN,
    ) -> None:
        self.app = app
        self.router = router
        self.also = also or {}
        self.keys = [bytes.fromhex(key) for key in key_sha256]
        self.max_body = max_body
        self.rate = rate
        self.burst = burst
        self.headers = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        self.arrives, self.places = arrives, places
        self.open = open
        self._working = self._open = 0
        self._buckets: dict[bytes, tuple[float, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self.headers]}
            await send(message)

        if scope["path"] in OPEN_PATHS:
            return await self.app(scope, receive, marked)
        if self._open >= self.open:
            message = f"more than {self.open} requests at one time; send fewer, or again"
            return await _refuse(marked, 429, message, AGAIN)
        self._open += 1
        try:
            await self._judged(scope, receive, marked)
        finally:
            self._open -= 1

    async def _judged(self, scope: Scope, receive: Receive, marked: Send) -> None:
        """Refuse, or hand on with a whole body."""
        headers = dict(scope["headers"])
        if scope["path"] == METRICS and scope["method"] == "GET" and self.router and self.router not in headers:
            return await self.app(scope, receive, marked)
        key = hashlib.sha256(headers.get(b"x-api-key", b"")).digest()
        # A list, not a generator: every key is compared, so that time says nothing about which one matched.
        if self.keys and not any([hmac.compare_digest(key, known) for known in self.keys]):
            return await _refuse(marked, 401, "missing or wrong API key; send it as the header x-api-key")
        if scope["method"] != "POST":
            return await self.app(scope, receive, marked)
        if self.rate and not self._take(key if self.keys else b""):
            message = f"more than {self.rate:g} requests a second; slow down"
            return await _refuse(marked, 429, message, AGAIN)
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().decode("latin1").lower()
        kinds = [JSON_TYPE, *filter(None, [self.also.get(scope["path"])])]
        if kind not in kinds:
            return await _refuse(marked, 415, f"content-type must be {' or '.join(kinds)}")
        length = headers.get(b"content-length", b"")
        if length and (not length.isdigit() or int(length) > self.max_body):
            with suppress(TimeoutError):
                async with asyncio.timeout(self.arrives):
                    await _discard(receive, DISCARDED * self.max_body)
            return await _refuse(marked, 413, f"body is larger than {self.max_body} bytes; send fewer rows")
        try:
            async with asyncio.timeout(self.arrives):
                body = await self._whole(receive)
        except TimeoutError:
            return await _refuse(marked, 408, f"the body did not arrive within {self.arrives:g} s")
        if body is None:
            return None
        if len(body) > self.max_body:
            return await _refuse(marked, 413, f"body is larger than {self.max_body} bytes; send fewer rows")
        if self._working >= self.places:
            message = f"more than {self.places} requests at one time; send fewer, or again"
            return await _refuse(marked, 429, message, AGAIN)
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        self._working += 1
        try:
            return await self.app(scope, replay, marked)
        finally:
            self._working -= 1

    async def _whole(self, receive: Receive) -> bytes | None:
        """The body, or more than is allowed of one that is too large; None where the client has gone."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            # A body sent in chunks announces no length: it is counted as it arrives.
            if len(body) > self.max_body:
                if message.get("more_body"):
                    await _discard(receive, DISCARDED * self.max_body)
                return bytes(body)
            if not message.get("more_body"):
                return bytes(body)

    def _take(self, key: bytes) -> bool:
        """Take a token from the key's bucket; False when it is empty."""
        now = time.monotonic()
        tokens, then = self._buckets.get(key, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - then) * self.rate)
        self._buckets[key] = (tokens - 1 if tokens >= 1 else tokens, now)
        return tokens >= 1


async def _discard(receive: Receive, limit: int) -> None:
    """Read on without keeping anything: a client that is cut off while it sends never sees the answer."""
    while limit > 0:
        message = await receive()
        limit -= len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return


async def _refuse(send: Send, status: int, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    body = json.dumps({"error": message}).encode()
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    # The body may be unread: closing the connection is cheaper than draining it.
    own.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": own})
    await send({"type": "http.response.body", "body": body})
