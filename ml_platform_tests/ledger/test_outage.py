"""PostgreSQL that restarts is waited for: nothing is lost, and nothing written twice."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_platform.foundation import patience
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Provenance
from ml_platform.ledger.ledger import Ledger
from ml_platform.references.database import DatabaseReferences
from ml_platform.testing.references import ASSET, JANUARY, batch
from ml_platform_tests import postgres

HERE = Provenance(code_commit="c" * 40, dirty=False, lock_sha256="d" * 64, python="3.11.7")


@pytest.fixture
def server(postgres_binaries: Path) -> Iterator[postgres.Postgres]:
    """A server that may be stopped."""
    with postgres.server(postgres_binaries) as running:
        yield running


def decide(ledger: Ledger, number: int) -> int:
    return ledger.decide(
        "approval", subject="a" * 64, subject_name="m", body={"number": number}, run_id="run", provenance=HERE
    )


@pytest.mark.slow
def test_a_restart_in_the_middle_is_waited_for(server: postgres.Postgres) -> None:
    url = server.database()
    ledger, references = Ledger(url), DatabaseReferences(url)
    decide(ledger, 0)
    stop = threading.Event()

    def restarts() -> None:
        for _ in range(3):
            time.sleep(0.4)
            server.stop()
            time.sleep(0.4)
            server.start()
        stop.set()

    thread = threading.Thread(target=restarts)
    thread.start()
    number = 0
    with patience.waiting(60):
        while not stop.is_set():
            number += 1
            assert decide(ledger, number) == 1
            references.save(ASSET, JANUARY, batch(f"run-{number}"))
            assert references.load(ASSET, JANUARY).run_id == f"run-{number}"
            assert len(ledger.entries(kind="approval")) == number + 1
    thread.join()
    found = Ledger(url).entries(kind="approval")
    assert [entry.body["number"] for entry in found] == list(range(number + 1))


@pytest.mark.slow
def test_one_that_stays_away_is_one_line_after_the_wait(server: postgres.Postgres) -> None:
    ledger = Ledger(server.database())
    server.stop()
    try:
        began = time.monotonic()
        with patience.waiting(1.5), pytest.raises(PlatformError, match="does not answer as it should") as error:
            decide(ledger, 1)
        assert "\n" not in str(error.value) and time.monotonic() - began > 1
        with pytest.raises(PlatformError):
            ledger.entries()
    finally:
        server.start()
