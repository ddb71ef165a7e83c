"""Calls to a lakeFS server: explicit settings, a timeout on each, and retries that first look what happened.

The client's own conveniences are left out on purpose: its configuration file is executed when read, its
``commit`` and ``merge_into`` drop the timeout, and urllib3 would repeat requests without looking.
"""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from pydantic import SecretStr

from ml_platform.datasets.store import (
    DirtyBranch,
    NoChanges,
    NotFound,
    Protected,
)
from ml_platform.foundation import patience
from ml_platform.foundation.errors import Refused, StoreError

if TYPE_CHECKING:
    import lakefs
    from lakefs_sdk.client import LakeFSClient
    from tenacity import RetryCallState
    from urllib3.response import BaseHTTPResponse

T = TypeVar("T")

#: Answers after which the same request may succeed.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
#: Longest pause that a server's ``Retry-After`` can ask for, seconds.
LONGEST_PAUSE = 30.0
_BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _HOOK_FAILED = 400, 401, 403, 404, 412


class Declined(StoreError):
    """The server answered that it does not do what it was asked; ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        #: What the server said.
        self.reason = reason


class Unavailable(StoreError):
    """The server could not be reached, or kept failing until patience ran out."""


@dataclass(frozen=True)
class Server:
    """Where a lakeFS server is, who asks, and how patient to be."""

    endpoint: str
    access_key: str
    secret_key: SecretStr
    #: Seconds to wait for a connection, and for each answer or piece of an answer.
    connect_seconds: float = 3
    timeout_seconds: float = 30
    #: Pause after the first failure, seconds; it doubles each time.
    pause_seconds: float = 0.25


class Connection:
    """One server under one access key. Opens nothing until the first call; safe for threads."""

    def __init__(self, server: Server) -> None:
        parts = urlsplit(server.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StoreError(
                f"ML_PLATFORM_LAKEFS_ENDPOINT={server.endpoint!r} is no address of a lakeFS server; "
                "use e.g. https://lakefs.example.org"
            )
        if not server.access_key or not server.secret_key.get_secret_value():
            raise StoreError(
                "the key of lakeFS is missing: set ML_PLATFORM_LAKEFS_ACCESS_KEY and ML_PLATFORM_LAKEFS_SECRET_KEY"
            )
        self.server = server
        self.address = server.endpoint.rstrip("/").removesuffix("/api/v1")

    @cached_property
    def _client(self) -> "lakefs.Client":
        import lakefs

        client = lakefs.Client(
            host=self.address,
            username=self.server.access_key,
            password=self.server.secret_key.get_secret_value(),
        )
        pools = client.sdk_client.objects_api.api_client.rest_client.pool_manager
        pools.connection_pool_kw.update(retries=False, blocksize=1 << 20)
        return client

    @property
    def sdk(self) -> "LakeFSClient":
        """The generated client; hand its methods to :meth:`call`."""
        return self._client.sdk_client

    def call(
        self,
        what: str,
        request: Callable[..., T],
        *arguments: Any,
        happened: Callable[[], T | None] | None = None,
        attempts: int = 0,
        timeout_seconds: float = 0,
        **options: Any,
    ) -> T:
        """Send a request of the client, again after a failure that may pass; ``what`` names its object.

        ``happened`` looks whether an earlier attempt whose answer was lost did the work, and gives its
        result. It is asked before the request is repeated, and when a repeated request is declined
        (usually because the first one came through late). Raises NotFound, Declined and Unavailable.
        """
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay

        timeout = (self.server.connect_seconds, timeout_seconds or self.server.timeout_seconds)

        def once() -> T:
            try:
                return request(*arguments, _request_timeout=timeout, **options)
            except Exception as error:
                failure = _Failure.of(error)
            again = retrying.statistics["attempt_number"] > 1
            if (failure.transient or again) and happened and (result := happened()) is not None:
                return result
            raise _Passing(failure) if failure.transient else self._declined(what, failure)

        retrying = Retrying(
            stop=stop_after_attempt(attempts) if attempts else stop_after_delay(patience.patience(self.address)),
            before_sleep=patience.telling(self.address),
            wait=self._pause,
            retry=retry_if_exception_type(_Passing),
            reraise=True,
        )
        try:
            result = retrying(once)
            patience.answered(self.address)
            return result
        except _Passing as error:
            patience.in_vain(self.address)
            raise Unavailable(
                f"{what}: lakeFS at {self.address} failed {retrying.statistics['attempt_number']} times, the last time "
                f"with: {error.failure.reason}; see that the server runs and can be reached, then try again"
            ) from None

    def _pause(self, state: "RetryCallState") -> float:
        """Seconds until the next attempt: doubling, spread at random so that clients do not return together."""
        from tenacity import wait_random_exponential

        error = state.outcome.exception() if state.outcome else None
        asked = error.failure.retry_after if isinstance(error, _Passing) else 0
        return min(asked, LONGEST_PAUSE) + wait_random_exponential(self.server.pause_seconds, LONGEST_PAUSE)(state)

    def _declined(self, what: str, failure: "_Failure") -> StoreError:
        if failure.status == _UNAUTHORIZED:
            return Declined(
                f"lakeFS at {self.address} does not accept access key {self.server.access_key!r}: set "
                "ML_PLATFORM_LAKEFS_ACCESS_KEY and ML_PLATFORM_LAKEFS_SECRET_KEY to a pair that it knows",
                failure.status,
                failure.reason,
            )
        if failure.status == _NOT_FOUND:
            return NotFound(f"{what} does not exist ({failure.reason})")
        if failure.status == _FORBIDDEN:
            reason = f"access key {self.server.access_key!r} may not do this: {failure.reason}"
            return Declined(f"{what}: {reason}", failure.status, failure.reason)
        return Declined(f"{what}: lakeFS at {self.address} says: {failure.reason}", failure.status, failure.reason)

    def pages(self, what: str, request: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
        """All results of a listing, page by page; ``amount`` is the size of a page."""
        options = {"amount": 1000, **options}
        while True:
            page = self.call(what, request, *arguments, **options)
            yield from page.results
            if not page.pagination.has_more:
                return
            options["after"] = page.pagination.next_offset

    def url(self, *path: str, **query: str) -> str:
        """Address of a resource of the API, for :meth:`exchange`."""
        return f"{self.address}/api/v1/{'/'.join(quote(part, safe='') for part in path)}?{urlencode(query)}"

    def authorization(self) -> dict[str, str]:
        """The header that names the access key; never for a presigned URL."""
        return {"Authorization": str(self._client.config.get_basic_auth_token())}

    @contextmanager
    def exchange(
        self, method: str, url: str, *, headers: dict[str, str], timeout: tuple[float, float], body: Any = None
    ) -> "Generator[BaseHTTPResponse]":
        """Send one request whose body or answer is streamed; for use inside the ``request`` of :meth:`call`."""
        import urllib3
        from lakefs_sdk.exceptions import ApiException

        pools = self.sdk.objects_api.api_client.rest_client.pool_manager
        # While a body is sent, urllib3 applies the timeout of the connection to each write.
        limits = urllib3.Timeout(connect=timeout[0] if body is None else timeout[1], read=timeout[1])
        answer = pools.request(
            method, url, headers=headers, body=body, timeout=limits, preload_content=False, redirect=False
        )
        try:
            if not 200 <= answer.status < 300:
                error = ApiException(status=answer.status, reason=answer.reason)
                error.body, error.headers = answer.read(1 << 16), answer.headers
                raise error
            yield answer
        except BaseException:
            # What was not read of the answer must not be taken for the next one.
            answer.close()
            raise
        finally:
            answer.release_conn()


@dataclass(frozen=True)
class _Failure:
    """Why one attempt failed."""

    status: int
    reason: str
    transient: bool
    retry_after: float = 0

    @classmethod
    def of(cls, error: Exception) -> "_Failure":
        """The failure that an exception tells of; exceptions that tell of none are raised again."""
        import urllib3
        from lakefs_sdk.exceptions import ApiException

        if isinstance(error, ApiException):
            status = int(error.status or 0)
            wait = str((error.headers or {}).get("Retry-After", ""))
            reason = f"{status} {_said(error)}" if status else _said(error)
            return cls(status, reason, status in TRANSIENT, float(wait) if wait.isdecimal() else 0)
        if isinstance(error, urllib3.exceptions.HTTPError):
            told = " ".join(f"{type(error).__name__}: {error}".split())
            return cls(0, told, not isinstance(error, urllib3.exceptions.LocationValueError))
        if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
            # Of a JSON reader or a pydantic model: something other than lakeFS answered.
            return cls(0, f"an answer that is not lakeFS's ({type(error).__name__})", False)
        raise error


class _Passing(Exception):
    """A failure after which the same request may succeed."""

    def __init__(self, failure: _Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def _said(error: Any) -> str:
    """The message in a server's answer, in one line."""
    body = error.body
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        message = json.loads(text)["message"]
    except (ValueError, LookupError, TypeError):
        message = text or str(error.reason)
    return " ".join(str(message).split())[:500]


@contextmanager
def judged(branch: str) -> Generator[None]:
    """Turn what the server declines to do on a branch into the errors of the protocol."""
    try:
        yield
    except Declined as error:
        reason = error.reason.lower()
        if error.status == _BAD_REQUEST and "no changes" in reason:
            raise NoChanges(f"branch {branch!r} has nothing to commit: {error.reason}") from error
        if error.status == _BAD_REQUEST and "dirty branch" in reason:
            raise DirtyBranch(f"branch {branch!r} has staged changes: commit or reset them") from error
        if error.status == _FORBIDDEN and "protected branch" in reason:
            raise Protected(f"branch {branch!r} is protected: commit to another branch and merge it") from error
        if error.status == _HOOK_FAILED:
            raise Refused(f"branch {branch!r}: a hook of lakeFS refused it: {error.reason}") from error
        raise
