"""A ledger as releases before signatures left it is taken over in place and goes on."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.ledger import verified
from ml_platform.ledger.chain import GENESIS
from ml_platform.ledger.entry_text import digest
from ml_platform.ledger.ledger import Broken, Ledger
from ml_platform.ledger.table import FORMAT
from ml_platform_tests.ledger.writing import HERE, MARCH, ONE, ROWS, RULES, TWO, private, verdict, write

TABLE = """
CREATE TABLE ml_platform_ledger (
    sequence BIGINT NOT NULL, at VARCHAR(40) NOT NULL, kind VARCHAR(40) NOT NULL, subject VARCHAR(80) NOT NULL,
    subject_name VARCHAR(400) NOT NULL, gate VARCHAR(120) NOT NULL, body TEXT NOT NULL, provenance TEXT NOT NULL,
    run_id VARCHAR(80) NOT NULL, actor VARCHAR(200) NOT NULL, previous VARCHAR(64) NOT NULL, hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (sequence), UNIQUE (hash)
)
"""
PROVENANCE = (
    '{"code_commit":"cccccccccccccccccccccccccccccccccccccccc","dirty":false,'
    '"lock_sha256":"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd","python":"3.11.7"}'
)
#: As the release before wrote them, but for the provenance, which is the same in each.
ROWS_BEFORE = [
    (
        1,
        "2026-11-21T16:45:27.920321+00:00",
        "verdict",
        ONE,
        "flights/batch/2013-03-01",
        "rules",
        '{"blocking":true,"declaration":"49eb330ed521c291","details":{},"gate":"rules","observed":0'
        '.0,"reason":"\\u00dcberpr\\u00fcft: \\"ja\\"","stage":"batch","status":"passed","subject":"111'
        '1111111111111111111111111111111111111111111111111111111111111","subject_name":"flights/bat'
        'ch/2013-03-01","support":null,"threshold":"at most 0"}',
        PROVENANCE,
        "run",
        "ada",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "aa8391c9d53a0d3fd75f328e489e25ac21580d208494dc37832a913a0284f96e",
    ),
    (
        2,
        "2026-11-21T16:45:27.923022+00:00",
        "verdict",
        ONE,
        "flights/batch/2013-03-01",
        "duplicates",
        '{"blocking":true,"declaration":"a8467bd5d5fceb85","details":{},"gate":"duplicates","observ'
        'ed":0.0,"reason":"because","stage":"batch","status":"passed","subject":"111111111111111111'
        '1111111111111111111111111111111111111111111111","subject_name":"flights/batch/2013-03-01",'
        '"support":null,"threshold":"at most 0"}',
        PROVENANCE,
        "run",
        "ada",
        "aa8391c9d53a0d3fd75f328e489e25ac21580d208494dc37832a913a0284f96e",
        "6d82f9f2c545e5bccd094a68922c13cbe1cbd57c6a4ab88a85fde32e884cec08",
    ),
    (
        3,
        "2026-11-21T16:45:27.958525+00:00",
        "publication",
        ONE,
        "flights/dataset/2013-03-01",
        "",
        '{"rows":3}',
        PROVENANCE,
        "run",
        "ada",
        "6d82f9f2c545e5bccd094a68922c13cbe1cbd57c6a4ab88a85fde32e884cec08",
        "3dae05ac506afe4848bf6c5a1e6f9c5dad71b82ccd4206aef9187ef0da73241f",
    ),
]
HEAD_BEFORE = "3dae05ac506afe4848bf6c5a1e6f9c5dad71b82ccd4206aef9187ef0da73241f"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "ledger.db"
    with sqlite3.connect(found) as connection:
        connection.execute(TABLE)
        connection.executemany(f"INSERT INTO ml_platform_ledger VALUES ({', '.join('?' * 12)})", ROWS_BEFORE)
    connection.close()
    return found


@pytest.mark.parametrize("key", ["", private(1)], ids=["without a key", "with a key"])
def test_it_stays_valid_and_goes_on(path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(f"sqlite:///{path}")
    assert ledger.verify() == 3 and ledger.head() == HEAD_BEFORE
    if key:
        ledger = Ledger(f"sqlite:///{path}", key=key)
        ledger.sign(by="ann", reason="-", run_id="run", provenance=HERE)
    assert ledger.entries(kind="publication")[0].signature is None
    write(ledger, verdict(subject=TWO))
    monkeypatch.setattr(verified, "_verified", {})
    again = Ledger(f"sqlite:///{path}", key=key)
    assert again.verify() == (5 if key else 4)
    assert [bool(entry.signature) for entry in again.entries()] == [False] * 3 + ([True] * 2 if key else [False])


def test_what_it_says_is_shown_and_allows_nothing_new(path: Path) -> None:
    ledger = Ledger(f"sqlite:///{path}")
    assert {verdict.status for verdict in ledger.verdicts(ONE).values()} == {"passed"}
    with pytest.raises(Refused, match="rules judged by a release that noted no context; duplicates judged"):
        ledger.require(ONE, [RULES, ROWS], subject_name=MARCH)
    write(ledger, verdict(), verdict(ROWS))
    assert len(ledger.require(ONE, [RULES, ROWS], subject_name=MARCH)) == 2


def test_the_release_before_still_reads_and_extends_it_while_nothing_is_signed(path: Path) -> None:
    ledger = Ledger(f"sqlite:///{path}")
    write(ledger, verdict(subject=TWO))
    names = "sequence, at, kind, subject, subject_name, gate, body, provenance, run_id, actor, previous, hash"
    row = dict(zip(names.split(", "), ROWS_BEFORE[2], strict=True)) | {"sequence": 5, "previous": ledger.head()}
    row["hash"] = sha256_bytes(canonical_json({name: value for name, value in row.items() if name != "hash"}))
    with sqlite3.connect(path) as connection:
        connection.execute(f"INSERT INTO ml_platform_ledger ({names}) VALUES ({', '.join('?' * 12)})", [*row.values()])
    connection.close()
    assert ledger.verify() == 5


def test_a_change_in_it_is_found(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE ml_platform_ledger SET actor = 'mallory' WHERE sequence = 2")
    connection.close()
    with pytest.raises(Broken, match="entry 2 was changed"):
        Ledger(f"sqlite:///{path}").verify()


def test_a_ledger_of_a_later_release_is_refused(path: Path) -> None:
    Ledger(f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE ml_platform_formats SET number = {FORMAT + 1}")
    connection.close()
    with pytest.raises(PlatformError, match=f"stored in format {FORMAT + 1}, this release reads up to {FORMAT}"):
        Ledger(f"sqlite:///{path}")


def test_on_postgresql(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(TABLE)
        for row in ROWS_BEFORE:
            connection.exec_driver_sql(f"INSERT INTO ml_platform_ledger VALUES ({', '.join(['%s'] * 12)})", row)
    ledger = Ledger(postgres_url, key=private(1))
    ledger.sign(by="ann", reason="-", run_id="run", provenance=HERE)
    assert ledger.verify() == 4
    write(ledger, verdict(subject=TWO))
    assert ledger.verify() == 5 and ledger.require(TWO, [RULES], subject_name=MARCH)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM ml_platform_ledger WHERE sequence = 5")
    with pytest.raises(Broken, match="entries after 4 were cut or replaced while this process ran"):
        ledger.require(ONE, [RULES, ROWS], subject_name=MARCH)
    engine.dispose()


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.fixed_dictionaries({name: TEXT for name in ("at", "kind", "subject", "subject_name", "gate", "body", "actor")})
)
def test_the_hash_is_that_of_canonical_json(texts: dict[str, str]) -> None:
    row = {**texts, "gate": "", "sequence": 7, "provenance": "{}", "run_id": "r", "previous": GENESIS}
    assert digest({**row, "hash": "h", "signature": None}) == sha256_bytes(canonical_json(row))
