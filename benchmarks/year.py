"""The year of `ml-platform demo` once more with what may happen in one: who is told what and when, what is live, which
runs fail.

`python benchmarks/year.py` lists the cases, `python benchmarks/year.py CASE …` runs them one after the other, each with
processes of its own. `--days 1` lets outcomes of each day arrive by themselves, which takes hours.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ml_platform.cli.lived import installation  # noqa: E402
from ml_platform.demonstrating import world  # noqa: E402
from ml_platform.demonstrating.chart import chart  # noqa: E402
from ml_platform.demonstrating.outcome import outcome  # noqa: E402
from ml_platform.demonstrating.project import DECLARED, MODEL  # noqa: E402
from ml_platform.demonstrating.year import MONTHS, Settle, Story, Year  # noqa: E402
from ml_platform.foundation.provenance import Run  # noqa: E402
from ml_platform.orchestration import webserver  # noqa: E402
from ml_platform.pipeline.rollback import roll_back  # noqa: E402

FEBRUARY, MARCH, AUGUST, OCTOBER, NOVEMBER, DECEMBER = (MONTHS[place] for place in (1, 2, 7, 9, 10, 11))


class Case(NamedTuple):
    """A year in which something happens."""

    story: Story
    declared: Mapping[str, Mapping[str, Any]] = DECLARED
    #: Seconds after each move of the clock at which the daemon is killed and started again; 0: never.
    killed: float = 0


def _withdraw(year: Year) -> None:
    with year.acting(f"{MARCH} is withdrawn"):
        roll_back(
            year.workspace, year.context.dataset, MARCH, Run.new(), reason="wrong unit", by="benchmark", withdraw=True
        )


def _correct(year: Year) -> None:
    year.deliver(FEBRUARY, world.CORRECTED)


LATE = {
    **DECLARED,
    "flights/features": {"history_lag": 22},
    MODEL: {**DECLARED[MODEL], "split": {"refit": True, "label_delay": 21}},
}
CASES = {
    "nothing": Case(Story()),
    "later": Case(Story(MONTHS[9:], deliveries=dict.fromkeys(MONTHS[9:], (world.LATER, 0)))),
    "withdrawn": Case(Story(MONTHS[7:9], acts={AUGUST: _withdraw})),
    "corrected": Case(Story(MONTHS[7:9], acts={AUGUST: _correct})),
    "late": Case(Story(MONTHS[6:9]), LATE),
    "refused": Case(Story(MONTHS[10:], deliveries={NOVEMBER: (world.TWICE, 0)})),
    "killed": Case(Story(MONTHS[6:8]), killed=4),
}


def killing(year: Year, seconds: float) -> Settle:
    """How to wait until nothing is left to do while the daemon is killed once, in whatever it is doing then."""
    wait = year.settle

    def settle(since: float, meanwhile: Callable[[], object], *, enough: Callable[[], bool] = lambda: False) -> None:
        time.sleep(seconds)
        settings = year.workspace.settings
        record = webserver.status(settings)
        assert record is not None
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                # Runs are sessions of their own and go on.
                if os.getsid(process.pid) == record.pid:
                    process.send_signal(signal.SIGKILL)
        webserver.start(settings, int(record.url.rpartition(":")[2]))
        wait(since, meanwhile, enough=enough)

    return settle


def failed(instance: dg.DagsterInstance) -> list[str]:
    """Runs that failed, in order: job, what for, and the first step that failed with its reason."""
    found = []
    for record in reversed(instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))):
        run, said = record.dagster_run, "its process ended"
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
            data = entry.get_dagster_event().step_failure_data
            told = data.user_failure_data
            said = (told.description if told and told.description else str(data.error))[:300]
            break
        found.append(f"{run.job_name} ({run.tags.get('ml_platform/why', '')}): {' '.join(said.split())}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", choices=[[], *CASES], help=", ".join(CASES))
    parser.add_argument("--folder", type=Path, default=ROOT / ".local" / "year")
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--months", type=int, default=12, help="the first of them only")
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    if not chosen.case:
        print("\n".join(f"{name}: {', '.join(case.story.months)}" for name, case in CASES.items()))
    for name in chosen.case:
        _live(name, CASES[name], chosen.folder.resolve(), chosen.days, chosen.months, chosen.port)


def _live(name: str, case: Case, folder: Path, days: int, months: int, port: int) -> None:
    story, started = replace(case.story, days=days, months=case.story.months[:months]), time.monotonic()

    def told(line: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    with installation(folder, port, story.months[0], told, case.declared) as year:
        if case.killed:
            year.settle = killing(year, case.killed)
        lived = []
        for month in year.live(story):
            lived.append(month)
            told(str(month))
        found = outcome(year, story, lived)
        with dg.DagsterInstance.get() as instance:
            runs = failed(instance)
    lines = [f"{month.name} live {month.live:.4f} ideal {month.ideal:.4f}, by {month.versions}" for month in lived]
    lines += [f"{day} training: {text}" for day, text in found.trainings]
    lines += [f"{day} {text}" for day, text in found.alerts]
    lines += [f"failed: {text}" for text in runs]
    lines += [f"{'kept' if one.kept else 'NOT KEPT'}: {one.name}: {one.seen}" for one in found.promises]
    print(f"\n## {name}", *lines, sep="\n", flush=True)
    (folder / f"{name}.json").write_text(json.dumps({**found.plain(), "failed": runs}, indent=1))
    (folder / f"{name}.svg").write_text(chart(lived))


if __name__ == "__main__":
    main()
