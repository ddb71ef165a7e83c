"""The guard, spoken to in ASGI messages."""

import asyncio
import hashlib
from typing import Any

import pytest

from ml_platform.serving.guard import Guard

KEY = b"right"
SHA256 = hashlib.sha256(KEY).hexdigest()


async def _echo(scope: dict, receive: Any, send: Any) -> None:
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


def call(
    guard: Guard,
    chunks: list[bytes],
    headers: dict | None = None,
    path: str = "/predict",
    method: str = "POST",
) -> tuple[int, bytes, dict]:
    sent: list[dict] = []
    waiting = [{"type": "http.request", "body": c, "more_body": i < len(chunks) - 1} for i, c in enumerate(chunks)]

    async def receive() -> dict:
        return waiting.pop(0)

    async def send(message: dict) -> None:
        sent.append(message)

    given = {"content-type": "application/json", "x-api-key": "right", **(headers or {})}
    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], sent[1]["body"], dict(sent[0]["headers"])


def test_a_good_request_passes_whole_and_marked() -> None:
    status, body, headers = call(Guard(_echo, [SHA256], headers={"X-Model": "m"}), [b'{"a"', b":1}"])
    assert (status, body, headers[b"x-model"]) == (200, b'{"a":1}', b"m")


@pytest.mark.parametrize("key", ["wrong", "", "right ", SHA256])
def test_another_key_is_refused(key: str) -> None:
    assert call(Guard(_echo, [SHA256]), [b"{}"], {"x-api-key": key})[0] == 401
    assert call(Guard(_echo, [SHA256]), [b""], {"x-api-key": key}, "/metrics", "GET")[0] == 401


def test_any_of_several_keys_is_accepted_and_none_asked_when_none_is_set() -> None:
    assert call(Guard(_echo, ["0" * 64, SHA256]), [b"{}"])[0] == 200
    assert call(Guard(_echo), [b"{}"], {"x-api-key": ""})[0] == 200


def test_health_needs_no_key() -> None:
    assert call(Guard(_echo, [SHA256]), [b""], {"x-api-key": ""}, "/readyz", "GET")[0] == 200


def test_metrics_need_no_key_of_one_who_asks_the_process_itself() -> None:
    def asked(guard: Guard, path: str = "/metrics", method: str = "GET", **headers: str) -> int:
        return call(guard, [b"{}"], {"x-api-key": "", **headers}, path, method)[0]

    behind = Guard(_echo, [SHA256], router=b"x-ml-route")
    assert asked(behind) == 200
    # The router sets the header on whatever comes through it.
    assert asked(behind, **{"x-ml-route": "m"}) == 401
    assert asked(behind, method="POST") == 401 and asked(behind, "/info") == 401
    assert asked(Guard(_echo, [SHA256])) == 401, "without a router nobody can tell where it came from"


@pytest.mark.parametrize("kind", ["text/plain", "application/vnd.bentoml+pickle", "multipart/form-data", ""])
def test_other_content_types_are_refused(kind: str) -> None:
    assert call(Guard(_echo), [b"{}"], {"content-type": kind})[0] == 415


def test_a_charset_is_no_other_content_type() -> None:
    assert call(Guard(_echo), [b"{}"], {"content-type": "Application/JSON; charset=utf-8"})[0] == 200


def test_the_body_is_capped_announced_or_not() -> None:
    guard = Guard(_echo, max_body=10)
    assert call(guard, [b"x" * 10])[0] == 200
    assert call(guard, [b"x" * 6, b"x" * 5])[0] == 413
    # Refused by the announced length; what comes is read on and dropped, so that the client sees the answer.
    assert call(guard, [b"x" * 11], {"content-length": "11"})[0] == 413
    assert call(guard, [b"x"], {"content-length": "-1"})[0] == 413


def test_the_rate_is_limited_per_key() -> None:
    other = hashlib.sha256(b"other").hexdigest()
    guard = Guard(_echo, [SHA256, other], rate=0.001, burst=2)
    assert [call(guard, [b"{}"])[0] for _ in range(3)] == [200, 200, 429]
    assert call(guard, [b"{}"], {"x-api-key": "other"})[0] == 200
    assert call(guard, [b"{}"])[2][b"retry-after"] == b"1"


def test_bodies_that_stall_take_no_place_and_end() -> None:
    """As many as there are places send a part and no more: another is answered, and they are told in the end."""

    async def meanwhile() -> tuple[int, list[int]]:
        guard = Guard(_echo, arrives=0.3, places=4)
        scope = {"type": "http", "path": "/p", "method": "POST", "headers": [(b"content-type", b"application/json")]}

        async def ask(whole: bool) -> int:
            parts = [{"type": "http.request", "body": b"{}", "more_body": not whole}]
            sent: list[dict] = []

            async def receive() -> dict:
                if parts:
                    return parts.pop()
                await asyncio.sleep(60)
                raise AssertionError("it was given up before")

            async def send(message: dict) -> None:
                sent.append(message)

            await guard(scope, receive, send)
            return sent[0]["status"]

        stalled = [asyncio.create_task(ask(False)) for _ in range(8)]
        await asyncio.sleep(0)
        return await ask(True), list(await asyncio.gather(*stalled))

    assert asyncio.run(meanwhile()) == (200, [408] * 8)


def test_more_at_one_time_than_there_are_places_is_told() -> None:
    async def full() -> list[int]:
        begun, going_on = asyncio.Event(), asyncio.Event()

        async def slow(scope: dict, receive: Any, send: Any) -> None:
            begun.set()
            await going_on.wait()
            await _echo(scope, receive, send)

        guard = Guard(slow, places=1)
        scope = {"type": "http", "path": "/p", "method": "POST", "headers": [(b"content-type", b"application/json")]}
        statuses: list[int] = []

        async def ask() -> None:
            async def receive() -> dict:
                return {"type": "http.request", "body": b"{}", "more_body": False}

            async def send(message: dict) -> None:
                if "status" in message:
                    statuses.append(message["status"])

            await guard(scope, receive, send)

        first = asyncio.create_task(ask())
        await begun.wait()
        await ask()
        going_on.set()
        await first
        await ask()
        return statuses

    assert asyncio.run(full()) == [429, 200, 200]


def test_what_waits_is_bounded_and_a_body_that_is_too_large_is_not_read_for_ever() -> None:
    async def asked() -> list[int]:
        guard = Guard(_echo, arrives=0.2, open=2, max_body=10)
        statuses: list[int] = []

        async def ask(length: str) -> None:
            async def receive() -> dict:
                await asyncio.sleep(60)
                raise AssertionError("it was given up before")

            async def send(message: dict) -> None:
                statuses.extend([message["status"]] if "status" in message else [])

            headers = [(b"content-type", b"application/json"), (b"content-length", length.encode())]
            await guard({"type": "http", "path": "/p", "method": "POST", "headers": headers}, receive, send)

        waiting = [asyncio.create_task(ask(length)) for length in ("11", "9")]
        await asyncio.sleep(0)
        await ask("9")
        await asyncio.gather(*waiting)
        await ask("9")
        return statuses

    first, *others, last = asyncio.run(asked())
    assert (first, sorted(others), last) == (429, [408, 413], 408)


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        ([], False),
        ([(b"x-ml-router", b"another")], False),
        ([(b"x-ml-router", b"")], False),
        ([(b"x-ml-router", b"secret"), (b"x-ml-router", b"another")], False),
        ([(b"x-ml-router", b"secret")], True),
    ],
)
@pytest.mark.parametrize("routed", ["secret", ""])
def test_only_a_router_says_which_request_it_is(
    monkeypatch: pytest.MonkeyPatch, said: list[tuple[bytes, bytes]], believed: bool, routed: str
) -> None:
    """The processes listen on this machine: who has a key can ask them past the router, with headers of their own."""
    from ml_platform.foundation.variables import ROUTED
    from ml_platform.serving.service import _asked

    monkeypatch.setenv(ROUTED, routed)
    told = [
        (b"x-ml-request-id", b"1-1"),
        (b"x-ml-route", b"m"),
        (b"x-ml-role", b"shadow"),
        (b"x-request-id", b"theirs"),
    ]
    found = _asked([*told, *said])
    assert ((found.request_id, found.route, found.role) == ("1-1", "m", "shadow")) is (believed and bool(routed))
    assert (found.route, found.role) == (("m", "shadow") if believed and routed else ("", ""))
    assert found.client_request_id == "theirs"
