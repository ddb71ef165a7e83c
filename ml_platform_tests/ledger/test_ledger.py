"""The ledger: append-only, chained, and asked before anything happens."""

import multiprocessing
import os
import signal
import sqlite3
import time

import pytest
from sqlalchemy import event

from ml_platform.foundation.errors import Refused
from ml_platform.foundation.provenance import Provenance
from ml_platform.gates.gate import Gate, Status, Verdict
from ml_platform.ledger.ledger import GENESIS, Broken, Ledger
from ml_platform_tests.ledger.writing import CONTEXT, HERE, MARCH, ONE, ROWS, RULES, TWO, verdict, write


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(url):
    return Ledger(url, actor="ada")


def test_an_entry_keeps_everything(ledger):
    assert ledger.head() == GENESIS
    assert write(ledger, verdict()) == 1
    (entry,) = ledger.entries()
    assert (entry.kind, entry.subject, entry.gate, entry.actor, entry.run_id) == ("verdict", ONE, "rules", "ada", "run")
    assert entry.provenance == HERE
    assert entry.previous == GENESIS
    assert ledger.head() == entry.hash
    assert ledger.verify() == 1


def test_the_same_verdict_again_is_no_news(ledger):
    assert write(ledger, verdict()) == 1
    assert write(ledger, verdict(), run_id="another") == 0
    assert write(ledger, verdict(status="failed")) == 1
    assert write(ledger, verdict()) == 1, "a change back is news"


LATER = Provenance(code_commit="f" * 40, dirty=True, lock_sha256="e" * 64, python="3.13.0")


def test_the_same_verdict_at_another_commit_is_no_news(ledger):
    write(ledger, verdict())
    assert write(ledger, verdict(), provenance=LATER, run_id="another") == 0
    (entry,) = ledger.entries()
    assert entry.provenance == HERE, "what judged it first stays recorded"
    news = [
        verdict(status="failed"),
        verdict(subject=TWO),
        verdict(name="flights/batch/2013-04-01"),
        verdict(Gate(gate="rules", max=0).within("another schema")),
        verdict(Gate(gate="rules", max=0, severity="warn").within(CONTEXT)),
    ]
    assert [write(ledger, one, provenance=LATER) for one in news] == [1] * 5


@pytest.mark.parametrize("kind", ["publication", "split", "training", "packaging", "card", "history", "replay"])
def test_the_same_decision_at_another_commit_is_no_news(ledger, kind):
    def decide(provenance, subject=ONE, **body):
        about = {"subject": subject, "subject_name": "it", "run_id": "run", "provenance": provenance}
        return ledger.decide(kind, body=body, **about)

    assert decide(HERE, rows=1) == 1
    assert decide(LATER, rows=1) == 0
    assert decide(LATER, rows=2) == 1
    assert decide(LATER, rows=1) == 1, "a change back is news"
    assert decide(LATER, subject=TWO, rows=1) == 1


def test_content_that_comes_back_is_the_newest_again(ledger):
    write(ledger, verdict(status="failed"))
    write(ledger, verdict(subject=TWO))
    assert ledger.refused("flights/batch/") == {}
    assert write(ledger, verdict(status="failed")) == 1
    assert list(ledger.refused("flights/batch/")) == ["flights/batch/2013-03-01"]


def test_require_passes_on_verdicts_about_this_content(ledger):
    write(ledger, verdict(), verdict(ROWS))
    assert len(ledger.require(ONE, [RULES, ROWS], subject_name=MARCH)) == 2
    with pytest.raises(Refused, match="rules missing; duplicates missing"):
        ledger.require(ONE, [RULES, ROWS], subject_name="flights/batch/2013-04-01")


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([verdict()], "duplicates missing"),
        ([verdict(), verdict(ROWS, status="failed")], "duplicates failed: because"),
        ([verdict(), verdict(ROWS, status="errored")], "duplicates errored"),
        ([verdict(), verdict(ROWS, status="not_enough_support")], "duplicates not enough support"),
        ([verdict(subject=TWO), verdict(ROWS, subject=TWO)], "rules missing; duplicates missing"),
    ],
)
def test_require_refuses_by_name(ledger, verdicts, words):
    write(ledger, *verdicts)
    with pytest.raises(Refused) as error:
        ledger.require(ONE, [RULES, ROWS], subject_name=MARCH)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_verdict_under_a_softer_threshold_does_not_count(ledger):
    soft = Gate(gate="rules", max=0.5).within(CONTEXT)
    write(ledger, verdict(soft))
    with pytest.raises(Refused, match="judged under another declaration"):
        ledger.require(ONE, [RULES], subject_name=MARCH)


def test_a_failed_warning_does_not_refuse(ledger):
    soft = Gate(gate="rules", max=0, severity="warn").within(CONTEXT)
    write(ledger, verdict(soft, status="failed"))
    ledger.require(ONE, [soft], subject_name=MARCH)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ml_platform_ledger SET body = replace(body, 'failed', 'passed') WHERE sequence = 2",
        "UPDATE ml_platform_ledger SET actor = 'mallory' WHERE sequence = 2",
        "UPDATE ml_platform_ledger SET actor = cast(x'ff41' as text) WHERE sequence = 2",
        "DELETE FROM ml_platform_ledger WHERE sequence = 2",
        "UPDATE ml_platform_ledger SET sequence = sequence + 10 WHERE sequence = 3",
    ],
)
def test_tampering_is_found(ledger, tmp_path, change):
    write(ledger, verdict(), verdict(ROWS, status="failed"), verdict(subject=TWO))
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(change)
    with pytest.raises(Broken):
        ledger.verify()


def _append(url: str, worker: int, count: int) -> None:
    ledger = Ledger(url)
    for index in range(count):
        write(ledger, verdict(subject=f"{worker:032x}{index:032x}", name=f"{worker}/{index}"))


def test_many_processes_extend_one_chain(url):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append, args=(url, worker, 15)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert Ledger(url).verify() == 60


def test_a_killed_writer_leaves_a_whole_chain(url):
    Ledger(url)
    context = multiprocessing.get_context("spawn")
    for moment in range(3):
        worker = context.Process(target=_append, args=(url, moment, 10_000))
        worker.start()
        deadline = time.monotonic() + 30
        while len(Ledger(url).log(prefix=f"{moment}/")) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        assert Ledger(url).verify() >= 3


def test_many_contents_are_asked_about_at_once(ledger):
    def queries(count: int) -> int:
        names = {f"flights/batch/{number:04}": f"{number:064x}" for number in range(count)}
        write(ledger, *(verdict(subject=subject, name=name) for name, subject in names.items()))
        asked = []
        event.listen(ledger._reader, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
        assert ledger.require_each(names, [RULES]).keys() == names.keys()
        assert ledger.refused("flights/batch/") == {}
        return len(asked)

    queries(1)  # the first looks at the table as well
    assert queries(2) == queries(999) < 8


def test_the_refused_one_among_many_is_named(ledger):
    write(ledger, verdict(), verdict(subject=TWO, name="flights/batch/2013-04-01", status="failed"))
    with pytest.raises(Refused, match=r"flights/batch/2013-04-01.*rules failed"):
        ledger.require_each({MARCH: ONE, "flights/batch/2013-04-01": TWO}, [RULES])
    assert ledger.judged({MARCH: ONE, "flights/batch/2013-04-01": ONE})["flights/batch/2013-04-01"] == {}


def test_another_time_under_the_threshold_is_no_news_and_another_value_is(ledger):
    def judged(gate: Gate, observed: float, status: Status = "passed") -> Verdict:
        return verdict(gate, status=status).model_copy(update={"observed": observed})

    timed = Gate(gate="latency", rate=50, max=100)
    assert write(ledger, judged(timed, 8.1)) == 1
    assert write(ledger, judged(timed, 9.2)) == 0
    assert write(ledger, judged(timed, 140.0, "failed")) == 1
    assert write(ledger, judged(timed, 7.5)) == 1
    size = Gate(gate="model_size", max=100)
    assert write(ledger, judged(size, 8.0)) == 1
    assert write(ledger, judged(size, 9.0)) == 1


def test_names_are_no_patterns(ledger):
    names = ("a_b/batch/1", "axb/batch/1", "A_b/batch/1", "a%b/batch/1", "a\\b/batch/1")
    for number, name in enumerate(names):
        write(ledger, verdict(subject=f"{number:064x}", name=name, status="failed"))
    for name in names:
        owner = name.removesuffix("1")
        assert list(ledger.refused(owner)) == [name]
        assert [entry.subject_name for entry in ledger.log(prefix=owner)] == [name]
        assert [entry.subject_name for entry in ledger.entries(subject_name=name)] == [name]
    assert ledger.entries(subject_name="a%") == ledger.log(prefix="a*") == []
    assert len(ledger.log(prefix="a")) == 4
