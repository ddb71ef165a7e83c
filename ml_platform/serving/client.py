"""A small client of the services, on a connection that is kept open."""

import http.client
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.variables import INSTALLATION

if TYPE_CHECKING:
    import polars as pl


class ServiceDown(PlatformError):
    """Nothing answers at the address, or the connection broke."""


class AnotherInstallation(PlatformError):
    """Services of another folder answer at the address."""


class RequestRefused(PlatformError):
    """The service answered with an error; ``status`` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Requests to one service. Not for several threads at once; use it as a context manager to close it.

    Without ``again`` a request is never sent twice, not even where the other side has closed the kept connection.
    ``owner``: the installation whose services are asked; an answer of another one raises AnotherInstallation.
    """

    def __init__(self, url: str, key: str = "", timeout: float = 30.0, *, again: bool = True, owner: str = "") -> None:
        self._attempts, self._owner = 2 if again else 1, owner
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname:
            raise PlatformError(f"{url!r} is not the address of a service; it looks like http://127.0.0.1:3100")
        self._prefix = parts.path
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        self._headers = {"x-api-key": key} if key else {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request; HTTP status and body of the answer, whatever it is. Raises :class:`ServiceDown`."""
        sent = {
            **self._headers,
            **({"content-type": "application/json"} if body is not None else {}),
            **(headers or {}),
        }
        for attempt in range(self._attempts):
            reused = self._connection.sock is not None
            try:
                self._connection.request(method, self._prefix + path, body, sent)
                answer = self._connection.getresponse()
                content = answer.read()
                if said := foreign(answer.getheader(INSTALLATION), self._owner):
                    self.close()
                    raise AnotherInstallation(f"{self.url}: {said}")
                return answer.status, content
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()
                # A kept connection may have been closed by the other side meanwhile; predicting twice is harmless.
                broken = reused and isinstance(error, ConnectionError | http.client.HTTPException)
                if not broken or attempt == self._attempts - 1:
                    raise ServiceDown(f"no answer from {self.url}: {error}; is the service running?") from error
        raise AssertionError("unreachable")

    def json(
        self, method: str, path: str, value: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """One request with a JSON value; the JSON answer. Raises :class:`RequestRefused` unless the status is 2xx."""
        body = None if value is None else json.dumps(value, allow_nan=False).encode()
        status, content = self.send(method, path, body, headers)
        if not 200 <= status < 300:
            raise RequestRefused(f"{self.url}{path} answered {status}: {_message(content)}", status)
        return json.loads(content)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Predictions for 1 to 1,000 rows: ``{"predictions": […], "model": …, "version": …}``; of several classes the
        most probable one each, with ``probabilities`` and ``classes``.
        """
        return self.json("POST", "/predict", {"rows": list(rows)})

    def predict_columns(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Predictions for a batch given in columns."""
        return self.json("POST", "/predict_columns", {"columns": {name: list(v) for name, v in columns.items()}})

    def predict_frame(self, frame: "pl.DataFrame") -> "pl.DataFrame":
        """Predictions for a batch as a frame, by Arrow: the fields of an answer as columns, a row for each.

        Raises :class:`RequestRefused` unless the status is 200.
        """
        import io

        import polars as pl

        stream = io.BytesIO()
        frame.write_ipc_stream(stream, compat_level=pl.CompatLevel.oldest())
        headers = {"content-type": "application/vnd.apache.arrow.stream"}
        status, content = self.send("POST", "/predict_columns", stream.getvalue(), headers)
        if status != 200:
            raise RequestRefused(f"{self.url}/predict_columns answered {status}: {_message(content)}", status)
        return pl.read_ipc_stream(content)

    def info(self, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Model, version, hashes, last day of the history, features and inputs."""
        return self.json("GET", "/info", headers=headers)

    def metrics(self) -> str:
        """Prometheus metrics as text."""
        status, content = self.send("GET", "/metrics")
        if status != 200:
            raise RequestRefused(f"{self.url}/metrics answered {status}: {_message(content)}", status)
        return content.decode()


def foreign(told: str | None, owner: str) -> str:
    """Why an answer is not of the installation ``owner``; empty where it is, or where one of them is not known.

    ``told``: its header. A service that an earlier release started has none.
    """
    if not told or not owner or told == owner:
        return ""
    return (
        f"a service of another installation ({told}, not {owner}) answers there, as beside a copied folder; stop that "
        "one, or give this one ports of its own (ML_PLATFORM_PORTS) and start its services again (ml-platform serve)"
    )


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode(errors="replace").strip() or "no text"


def predict(
    url: str, rows: Sequence[Mapping[str, Any]], key: str = "", timeout: float = 30.0, *, owner: str = ""
) -> dict[str, Any]:
    """Predictions of the service at ``url`` for rows; see :class:`Client`."""
    with Client(url, key, timeout, owner=owner) as client:
        return client.predict(rows)
