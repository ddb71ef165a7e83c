"""Users of the demonstration: they ask about every flight of a day, and keep what they were told."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from ml_platform.declarations.context import ModelContext
from ml_platform.serving.client import Client, ServiceDown

if TYPE_CHECKING:
    import polars as pl


@dataclass
class Answers:
    """What users were told of the rows of a month."""

    #: Rows that got no answer, by what came in its place.
    refused: Counter[str] = field(default_factory=Counter)
    #: Rows that were answered, by version; and those from a history that is older than declared.
    versions: Counter[int] = field(default_factory=Counter)
    stale: int = 0
    predictions: list[float] = field(default_factory=list)
    #: The raw rows behind ``predictions``, in their order.
    rows: "list[pl.DataFrame]" = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Rows that were answered."""
        return self.versions.total()

    def measured(self, context: ModelContext) -> float:
        """The first metric by which models of the task are compared (AUC), once outcomes are known."""
        import numpy as np
        import polars as pl

        raw, task = pl.concat(self.rows), context.model.kind()
        frame = context.function.targets(raw).with_columns(prediction=np.array(self.predictions))
        labelled, y = task.labels(frame, context.model.target)
        return task.measure(y, labelled["prediction"].to_numpy())[task.compared[0]]


class Users:
    """Users of one model; ``url`` says where it is asked, ``months`` gives the rows of a month as they happened."""

    def __init__(self, context: ModelContext, url: Callable[[], str], months: "Callable[[str], pl.DataFrame]") -> None:
        from ml_platform.serving.schema import request_schema

        self.context, self._url, self._months = context, url, months
        self._request = request_schema(context.function, context.dataset.load_schema(), context.dataset.added)
        #: By month.
        self.answers: dict[str, Answers] = {}
        #: What single requests got, beside those of :meth:`ask`.
        self.visits: Counter[str] = Counter()
        self._waiting: list[bytes] = []

    def ask(self, first: date, after: date) -> None:
        """Ask about every row from one day to before another, a request for each day."""
        import polars as pl

        month = first.replace(day=1).isoformat()
        found, raw, name = self.answers.setdefault(month, Answers()), self._months(month), self.context.dataset.time
        with Client(self._url()) as client:
            for days in range((after - first).days):
                rows = raw.filter(pl.col(name) == first + timedelta(days=days))
                self._ask_day(client, found, rows)
                self._waiting = [json.dumps({"rows": [row]}).encode() for row in self._rows(rows.head(200))]

    def visit(self, requests: int) -> None:
        """So many requests of one row each, of the day that was asked about last."""
        if not self._waiting:
            return
        with Client(self._url(), again=False) as client:
            for place in range(requests):
                try:
                    status, content = client.send("POST", "/predict", self._waiting[place % len(self._waiting)])
                    seen = f"version {json.loads(content)['version']}" if status == 200 else f"status {status}"
                except ServiceDown:
                    seen = "no answer"
                self.visits[seen] += 1

    def known(self) -> str:
        """The last day whose outcomes are known to what answers, ISO."""
        with Client(self._url()) as client:
            return client.info()["history_until"] or ""

    @property
    def failed(self) -> int:
        """Rows and single requests that got no answer."""
        bad = sum(count for seen, count in self.visits.items() if not seen.startswith("version "))
        return bad + sum(found.refused.total() for found in self.answers.values())

    def _ask_day(self, client: Client, found: Answers, raw: "pl.DataFrame") -> None:
        rows = self._rows(raw)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        try:
            status, content = client.send("POST", "/predict_columns", json.dumps({"columns": columns}).encode())
        except ServiceDown:
            status, content = 0, b""
        if status != 200:
            found.refused[f"status {status}: {content[:200].decode(errors='replace')}"] += raw.height
            return
        answer = json.loads(content)
        found.versions[answer["version"]] += raw.height
        found.stale += raw.height if answer.get("stale") else 0
        found.predictions += answer[self.context.model.kind().numbers]
        found.rows.append(raw)

    def _rows(self, raw: "pl.DataFrame") -> list[dict[str, Any]]:
        from ml_platform.serving.schema import to_rows

        return to_rows(self._request, raw.select(self.context.function.inputs))
