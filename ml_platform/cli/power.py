"""``ml-platform prove --power``: the smallest error of each kind that a model's gates notice."""

import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ml_platform.cli import screen
from ml_platform.cli.output import BadUsage, written
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.loading import project_catalogue
from ml_platform.documents import detection
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.locks import locked
from ml_platform.foundation.settings import default_home
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving.doses import told
from ml_platform.proving.findings import Rate
from ml_platform.proving.journal import Journal
from ml_platform.proving.limits import Limit
from ml_platform.proving.power import Power, Report, journal_file
from ml_platform.proving.proof import Proof
from ml_platform.proving.scratch import require_time

#: Places that a line of the table names, and seconds between two lines of progress where nobody watches a terminal.
NAMED, PAUSE = 6, 30


def measure_power(name: str, minutes: float, partitions: int, rounds: int, json: Path | None) -> int:
    """Measure, print and write the limits; 0 whatever they are."""
    os.environ.setdefault("DAGSTER_HOME", str(default_home()))
    console, catalogue, workspace = screen.console(), project_catalogue(), Workspace()
    try:
        context = ModelContext.of(catalogue, name)
    except DeclarationError as error:
        raise BadUsage(f"--model: {error}") from error
    require_time(context, "prove --power")
    with tempfile.TemporaryDirectory(prefix="ml-platform-prove-") as folder:
        proof = Proof(context, workspace, Path(folder), partitions, rounds)
        file = journal_file(proof, workspace)
        with locked(file.with_suffix(".lock"), 0, f"prove --power of {name}"):
            journal = Journal(file, 60 * minutes)
            clean = proof.clean
            console.print(
                f"{name}: errors in {clean.newest} of {clean.context.dataset.name} behind {len(clean.partitions) - 1} "
                f"earlier batches, {minutes:g} minutes"
                + (f"; goes on with {journal.known} measurements of {file.name}" if journal.known else ""),
                highlight=False,
            )
            with _Progress(console, 60 * minutes) as progress:
                report = Power(proof, journal, progress.tell).run()
    result = _plain(proof, report)
    page = write_atomic(file.with_suffix(".html"), detection.render(result))
    _print(console, proof, report, result)
    console.print(f"plot and every limit: {page}", highlight=False, soft_wrap=True)
    written(json, result)
    return 0


class _Progress:
    """What is being measured, how far it is and what it has taken: a line that changes, or lines now and then."""

    def __init__(self, console: Console, seconds: float) -> None:
        self.console, self.seconds = console, seconds
        self._status = console.status("") if console.is_terminal else None
        self._told = 0.0

    def __enter__(self) -> "_Progress":
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, what: str, done: int, of: int, spent: float) -> None:
        """Show it."""
        text = f"{what}: {done} of {of}, {spent:.0f} of {self.seconds:.0f} s"
        if self._status is not None:
            self._status.update(text)
        elif time.monotonic() - self._told > PAUSE:
            self._told = time.monotonic()
            self.console.print(text, highlight=False)


def _plain(proof: Proof, report: Report) -> dict[str, Any]:
    """As JSON, with the texts that people read."""
    alarms = {rate.gate: rate for rate in report.alarms}
    return {
        "model": proof.context.model.name,
        "dataset": proof.context.dataset.name,
        "partition": proof.clean.newest,
        "partitions": proof.clean.partitions,
        "alarms": [rate.plain() for rate in report.alarms],
        "limits": [
            {
                **one.plain(),
                "told": _told(one, one.dose),
                "told_below": _told(one, one.below or (None if one.noticed else one.doses[-1])),
                "told_lost": _told(one, one.lost),
                "by": ", ".join(_by(gate, alarms) for gate in one.gates),
            }
            for one in report.limits
        ],
        "unmeasured": {
            error: [_place(one) for one in limits] for error, limits in _grouped(_open(report.limits)).items()
        },
        "elsewhere": report.elsewhere,
        "seconds": round(report.seconds, 1),
    }


def _print(console: Console, proof: Proof, report: Report, result: dict[str, Any]) -> None:
    alarms = {rate.gate: rate for rate in report.alarms}
    measured = [one for one in report.limits if one.measured]
    before = [one for one in measured if one.before_publication]
    later = [one for one in measured if one.noticed and not one.before_publication]
    waiting = [one for one in measured if not one.noticed and one.asked == one.made_in == "batch"]
    silent = [one for one in measured if not one.noticed and one not in waiting]
    for error, limits in _grouped(one for one in measured if one.noticed).items():
        _tell(console, error)
        same: dict[tuple[Any, ...], list[Limit]] = {}
        for one in limits:
            same.setdefault((one.dose, one.below, one.lost, one.stage, one.gates[:1]), []).append(one)
        for group in sorted(same.values(), key=_rising):
            _tell(console, f"  {_noticed(group, alarms)}: {_places(group)}")
    for title, those in (
        ("NOT NOTICED by any gate up to the model, at no dose tried", silent),
        ("passes every gate on batches at every dose tried, the gates behind were not asked in the time", waiting),
    ):
        for error, limits in _grouped(those).items():
            _tell(console, f"{title}: {error}: {_places(limits)}")
    for error, places in result["unmeasured"].items():
        _tell(console, f"not measured in the time: {error}: {_shortened(places)}")
    if report.elsewhere:
        _tell(console, f"no place for it here: {', '.join(report.elsewhere)}")
    raised = sum(rate.first_alarms + rate.second_alarms for rate in report.alarms if rate.blocking)
    _tell(
        console,
        f"{len(measured)} limits: {len(before)} noticed before publication, {len(later)} only later, {len(silent)} by "
        f"no gate; {len(waiting)} not before publication and not asked later; {len(report.limits) - len(measured)} not "
        "measured",
    )
    _tell(
        console,
        f"{raised} alarms of blocking gates on {len(proof.clean.partitions)} clean batches; {report.seconds:.0f} s, "
        f"{report.made} measurements made now",
    )


def _rising(group: list[Limit]) -> float:
    return group[0].dose or 0.0


def _noticed(group: list[Limit], alarms: dict[str, Rate]) -> str:
    """The limit of places that have the same: from which dose on, by which gate, and how often that cries wolf."""
    one = group[0] if len(group) == 1 else replace(group[0], deviation=0.0)
    again = f", and {_told(one, one.lost)} passes again" if one.lost is not None else ""
    below = f" ({_told(one, one.below)} passes{again})" if one.below else f" (the smallest tried{again})"
    later = "" if one.before_publication else f", only after publication ({one.stage})"
    return f"{_told(one, one.dose)}{below} by {_by(one.gates[0], alarms)}{later}"


def _told(one: Limit, dose: float | None) -> str:
    return "" if dose is None else told(one.unit, dose, one.deviation)


def _by(gate: str, alarms: dict[str, Rate]) -> str:
    rate = alarms.get(gate)
    if rate is None:
        return gate
    return f"{gate} ({rate.first_alarms + rate.second_alarms} alarms on {rate.first + rate.second} clean)"


def _open(limits: Iterable[Limit]) -> list[Limit]:
    return [one for one in limits if not one.measured]


def _grouped(limits: Iterable[Limit]) -> dict[str, list[Limit]]:
    found: dict[str, list[Limit]] = {}
    for one in limits:
        found.setdefault(one.error, []).append(one)
    return found


def _place(one: Limit) -> str:
    place = one.case or "all rows"
    return (
        f"{place} (noticed at {_told(one, one.dose)}, less is not tried)" if one.noticed and not one.measured else place
    )


def _places(group: list[Limit]) -> str:
    return _shortened([_place(one) for one in group])


def _shortened(places: list[str]) -> str:
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return "; ".join(places[:NAMED]) + more


def _tell(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
