"""Every way to cut, change or exchange the ledger behind the platform's back is found, and nothing relies on it."""

import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.ledger import verified
from ml_platform.ledger.chain import Anchor, Broken, Chain
from ml_platform.ledger.ledger import Ledger
from ml_platform.ledger.signing import Signer
from ml_platform_tests.ledger.writing import (
    HERE,
    MARCH,
    ONE,
    ROWS,
    RULES,
    TWO,
    Notes,
    hand,
    hidden,
    private,
    public,
    rehashed,
    replace_rows,
    rows_of,
    turned,
    verdict,
    without_keys,
    write,
)

Rows = list[dict[str, Any]]
LINE = (
    r"^ledger: [^\n]*restore the ledger from a backup and accept what it lacks with ml-platform ledger continue [^\n]*$"
)
#: Attacks that the last entries survive: after them `require` is asked in a process that knew the ledger before, too.
ATTACKS: dict[str, Callable[[Rows], Rows]] = {
    "the last 8 deleted": lambda rows: rows[:-8],
    "emptied": lambda rows: [],
    "a failure turned into a pass, rehashed": lambda rows: rehashed([*rows[:-4], turned(rows[-4]), *rows[-3:]]),
    "one in the middle deleted, rehashed": lambda rows: rehashed([*rows[:5], *rows[6:]]),
    "one in the middle deleted": lambda rows: [*rows[:5], *rows[6:]],
    "two exchanged, rehashed": lambda rows: rehashed([*rows[:4], rows[5], rows[4], *rows[6:]]),
    "one put in, rehashed": lambda rows: rehashed([*rows[:5], turned(rows[-4]), *rows[5:]]),
    "a passed failure put at the end, rehashed": lambda rows: rehashed([*rows[:-4], *rows[-3:], turned(rows[-4])]),
    "the first ones deleted, rehashed": lambda rows: rehashed(rows[3:]),
    "one put before the first": lambda rows: [{**rows[-4], "sequence": -1, "hash": "0" * 64}, *rows],
    "content changed in place": lambda rows: [*rows[:-4], turned(rows[-4]), *rows[-3:]],
}


@pytest.fixture(params=["without a key", "with a key"])
def key(request: pytest.FixtureRequest) -> str:
    return private(1) if request.param == "with a key" else ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def opened(path: Path, key: str, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ledger]:
    """Opens the ledger as a fresh process does: nothing of it is known."""

    def open_ledger(key: str = key, anchored: bool = True) -> Ledger:
        monkeypatch.setattr(verified, "_verified", {})
        return Ledger(f"sqlite:///{path}", actor="ada", key=key, anchors=[notes] if anchored else [])

    return open_ledger


@pytest.fixture
def filled(opened: Callable[..., Ledger], notes: Notes) -> Ledger:
    """Twelve verdicts and more: of these one failed, the fourth from the end. The end is anchored."""
    ledger = opened()
    for number in range(9):
        write(ledger, verdict(subject=f"{number:064x}", name=f"flights/batch/{number:02}"))
        if number == 2:
            notes.note(ledger)
    write(ledger, verdict(ROWS), verdict(status="failed"), verdict(subject=TWO), verdict(ROWS, subject=TWO))
    write(ledger, verdict(subject="3" * 64))
    notes.note(ledger)
    return ledger


def require(ledger: Ledger) -> None:
    ledger.require(TWO, [RULES, ROWS], subject_name=MARCH)


def test_an_honest_ledger_is_believed(opened: Callable[..., Ledger], filled: Ledger, notes: Notes) -> None:
    for ledger in (filled, opened()):
        require(ledger)
        assert ledger.verify() == len(ledger.entries())
        with pytest.raises(Refused, match="rules failed"):
            ledger.require(ONE, [RULES], subject_name=MARCH)
    assert filled.anchor()._replace(place="commit 2") == notes.kept[-1]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_it_is_found_in_a_fresh_process(
    opened: Callable[..., Ledger], filled: Ledger, path: Path, attack: Callable[[Rows], Rows]
) -> None:
    replace_rows(path, attack(rows_of(path)))
    with pytest.raises(Broken, match=LINE):
        opened().verify()
    with pytest.raises(Broken, match=LINE):
        require(opened())


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_it_is_found_by_a_process_that_knew_the_ledger(
    filled: Ledger, notes: Notes, path: Path, attack: Callable[[Rows], Rows]
) -> None:
    require(filled)
    notes.kept.clear()
    rows = rows_of(path)
    replace_rows(path, attack(rows))
    with pytest.raises(Broken):
        filled.verify()
    with pytest.raises(Broken):
        for row in rows:
            filled.verdicts(row["subject"])


def test_an_older_copy_is_found(opened: Callable[..., Ledger], filled: Ledger, path: Path, notes: Notes) -> None:
    copy = rows_of(path)
    write(filled, verdict(subject="4" * 64))
    notes.note(filled)
    replace_rows(path, copy)
    for ask in (Ledger.verify, require):
        with pytest.raises(Broken, match=r"it ends at entry \d+, commit 3 names entry \d+"):
            ask(opened())


def test_a_ledger_of_another_installation_is_found(
    opened: Callable[..., Ledger], filled: Ledger, path: Path, tmp_path: Path, key: str
) -> None:
    other = Ledger(f"sqlite:///{tmp_path / 'other.db'}", key=key)
    for number in range(40):
        write(other, verdict(subject=TWO if number % 2 else ONE), verdict(ROWS, subject=TWO if number % 2 else ONE))
    replace_rows(path, rows_of(tmp_path / "other.db"))
    with pytest.raises(Broken, match="names another entry"):
        require(opened())


def test_anchors_of_earlier_releases_have_no_length(
    opened: Callable[..., Ledger], filled: Ledger, path: Path, notes: Notes
) -> None:
    notes.kept[:] = [Anchor.of({"ledger_head": one.head}, one.place) or one for one in notes.kept]
    assert [one.length for one in notes.kept] == [None, None]
    require(opened())
    replace_rows(path, rows_of(path)[:-1])
    with pytest.raises(Broken, match="commit 2 names another entry"):
        require(opened())


def test_a_pass_that_breaks_its_own_threshold_is_forged(opened: Callable[..., Ledger], path: Path) -> None:
    ledger = opened()
    forged = verdict(status="failed").model_copy(update={"status": "passed"})
    write(ledger, forged)
    with pytest.raises(Refused, match="rules forged: it is recorded as passed with 1, where at most 0 passes"):
        ledger.require(ONE, [RULES], subject_name=MARCH)
    enough = RULES.model_copy(update={"min_support": 5})
    write(ledger, verdict(enough).model_copy(update={"support": 4}))
    with pytest.raises(Refused, match="rules forged: it is recorded as passed on a support of 4, of 5 needed"):
        ledger.require(ONE, [enough], subject_name=MARCH)


def test_a_restored_backup_is_accepted_by_name_and_shown_for_ever(
    opened: Callable[..., Ledger], filled: Ledger, path: Path, notes: Notes
) -> None:
    backup, knew = rows_of(path), filled
    length = len(backup)
    require(knew)
    write(filled, verdict(subject="4" * 64), verdict(subject="5" * 64))
    notes.note(filled)
    replace_rows(path, backup)
    with pytest.raises(Broken, match=LINE):
        require(opened())
    common = {"run_id": "run", "provenance": HERE}
    for by, reason in ((" ", "disk"), ("ann", "")):
        with pytest.raises(PlatformError, match="give a name and a reason"):
            opened().accept_gap(by=by, reason=reason, **common)
    entry = opened().accept_gap(by="ann", reason="disk failed", **common)
    assert entry.body["lost"] == {"after": length, "to": length + 2, "present": length}
    assert (entry.body["by"], entry.body["because"], entry.body["places"]) == ("ann", "disk failed", ["commit 3"])
    for ledger in (opened(), knew):
        require(ledger)
        assert ledger.verify() == length + 1
        assert [one.sequence for one in ledger.entries(kind="continuation")] == [length + 1]
    write(opened(), verdict(subject="6" * 64))
    notes.note(opened())
    require(opened())
    replace_rows(path, rows_of(path)[:-1])
    with pytest.raises(Broken):
        require(opened())


def test_a_gap_is_not_accepted_for_a_chain_that_is_damaged_itself(
    opened: Callable[..., Ledger], filled: Ledger, path: Path
) -> None:
    replace_rows(path, ATTACKS["one in the middle deleted"](rows_of(path)))
    with pytest.raises(Broken, match=r"entry 6 is missing"):
        opened().accept_gap(by="ann", reason="tidy", run_id="run", provenance=HERE)


class TestSigned:
    """What a key adds, where nothing outside was noted yet."""

    @pytest.fixture
    def key(self) -> str:
        """A key."""
        return private(1)

    @pytest.fixture
    def notes(self) -> Notes:
        """Nothing is noted."""
        return Notes()

    @pytest.mark.parametrize(
        "change",
        [
            lambda rows: rehashed([*rows[:-4], turned(rows[-4]), *rows[-3:]]),
            lambda rows: rehashed([*rows[:-4], *rows[-3:], turned(rows[-4])]),
            lambda rows: [{**row, "signature": None} for row in rows],
            lambda rows: [*rows[:-1], {**rows[-1], "signature": None}],
            lambda rows: rehashed([{**row, "signature": None} for row in rows[1:]]),
            lambda rows: [*rows[:-1], {**rows[-1], "signature": rows[-2]["signature"]}],
        ],
        ids=["rewritten", "appended", "stripped", "last stripped", "as if never signed", "exchanged"],
    )
    def test_without_the_key_nothing_can_be_written(
        self, opened: Callable[..., Ledger], filled: Ledger, path: Path, notes: Notes, change: Callable[[Rows], Rows]
    ) -> None:
        """Even where nothing is anchored but the key itself."""
        notes.kept[:] = notes.kept[:1]
        replace_rows(path, change(rows_of(path)))
        for ask in (Ledger.verify, require):
            with pytest.raises(Broken):
                ask(opened())

    def test_each_signature_is_checked_by_verify(
        self, opened: Callable[..., Ledger], filled: Ledger, path: Path
    ) -> None:
        """The next step checks the last one, which covers all before it."""
        rows = rows_of(path)
        rows[4]["signature"] = rows[5]["signature"]
        replace_rows(path, rows)
        require(opened())
        with pytest.raises(Broken, match="entry 5 has a wrong signature"):
            opened().verify()

    def test_a_wrong_signature_is_never_covered_by_a_right_one(
        self, opened: Callable[..., Ledger], filled: Ledger, path: Path
    ) -> None:
        """What a hand put at the end is not gone on from."""
        rows = rehashed([*rows_of(path), turned(rows_of(path)[-4])])
        replace_rows(path, rows)
        with pytest.raises(Broken, match=f"entry {len(rows)} has a wrong signature"):
            write(opened(), verdict(subject="7" * 64))

    def test_who_has_no_key_or_another_writes_nothing(self, opened: Callable[..., Ledger], filled: Ledger) -> None:
        """And is told which one is in force."""
        for other in ("", private(2)):
            with pytest.raises(PlatformError, match=re.escape(f"signed with key {public(1)[:12]}")):
                write(opened(key=other), verdict(subject="7" * 64))
        require(opened(key=""))

    def test_a_key_of_somebody_else_is_found(
        self, opened: Callable[..., Ledger], filled: Ledger, path: Path, notes: Notes
    ) -> None:
        """A whole chain signed with it, and a gap accepted with it."""
        replace_rows(path, [])
        mallory = opened(key=private(66), anchored=False)
        write(mallory, verdict(subject=TWO), verdict(ROWS, subject=TWO))
        with pytest.raises(Broken):
            require(opened(key=""))
        with pytest.raises(PlatformError, match="the lost entries were signed with"):
            opened(key=private(66)).accept_gap(by="mallory", reason="-", run_id="run", provenance=HERE)
        body = {"by": "m", "because": "-", "lost": {}, "anchors": [[one.length, one.head] for one in notes.kept]}
        mallory.decide("continuation", subject=ONE, subject_name="ledger", body=body, run_id="run", provenance=HERE)
        with pytest.raises(Broken):
            require(opened(key=""))
        notes.kept.clear()
        with pytest.raises(Broken, match=re.escape(f"ML_PLATFORM_LEDGER_KEY is {public(1)[:12]}")):
            require(opened())

    def test_rotation(self, opened: Callable[..., Ledger], filled: Ledger, notes: Notes, path: Path) -> None:
        """The old key names the new one, which signs from then on; a step back is found."""
        about = {"by": "ann", "reason": "yearly", "run_id": "run", "provenance": HERE}
        with pytest.raises(PlatformError, match="set ML_PLATFORM_LEDGER_KEY to the key in force"):
            opened(key="").rotate(public(2), **about)
        with pytest.raises(PlatformError, match="give the next public key"):
            opened().rotate("abc", **about)
        opened().rotate(public(2), **about)
        with pytest.raises(PlatformError, match="set it to the key in force"):
            write(opened(), verdict(subject="7" * 64))
        ledger = opened(key=private(2))
        assert write(ledger, verdict(subject="7" * 64)) == 1
        notes.note(ledger)
        assert notes.kept[-1].key == public(2)
        assert opened(key=private(2)).verify() == len(rows_of(path))
        rows = rows_of(path)
        signer = Signer(private(1))
        forged = rehashed([*rows, turned(rows[-6])])
        forged[-1]["signature"] = signer.sign(forged[-1]["hash"])
        replace_rows(path, forged)
        with pytest.raises(Broken, match="signed with a key that is not in force"):
            require(opened(key=private(2)))


def test_a_chain_is_signed_from_the_beginning_or_from_when_a_person_says_so(
    path: Path, opened: Callable[..., Ledger]
) -> None:
    about = {"by": "ann", "reason": "we have a key now", "run_id": "run", "provenance": HERE}
    write(opened(key=""), verdict())
    unsigned = "its 1 entries are not signed and ML_PLATFORM_LEDGER_KEY is set; .* ml-platform ledger sign"
    for relies in (lambda: write(opened(key=private(1)), verdict(ROWS)), opened(key=private(1)).verify):
        with pytest.raises(Broken, match=unsigned):
            relies()
    with pytest.raises(PlatformError, match="set ML_PLATFORM_LEDGER_KEY"):
        opened(key="").sign(**about)
    assert opened(key=private(1)).sign(**about) == public(1)
    write(opened(key=private(1)), verdict(ROWS))
    assert [bool(row["signature"]) for row in rows_of(path)] == [False, True, True]
    assert json.loads(rows_of(path)[1]["body"]) == {"public": public(1), "by": "ann", "because": "we have a key now"}
    assert opened(key=private(1)).verify() == 3
    with pytest.raises(PlatformError, match=r"entries are signed with .* already"):
        opened(key=private(2)).sign(**about)


def test_what_was_signed_is_not_cut_and_gone_on_from_without_a_word(
    path: Path, opened: Callable[..., Ledger], notes: Notes
) -> None:
    """Whoever has the database and every note, and no key, takes the first signed entry away and all that follows."""
    write(opened(key=""), verdict())
    ledger = opened(key=private(1))
    ledger.sign(by="ann", reason="-", run_id="run", provenance=HERE)
    write(ledger, verdict(ROWS, status="failed"))
    replace_rows(path, rows_of(path)[:1])
    write(opened(key="", anchored=False), verdict(ROWS))
    notes.kept.clear()
    for relies in (Ledger.verify, require, lambda ledger: write(ledger, verdict(subject=TWO))):
        with pytest.raises(Broken, match="its 2 entries are not signed"):
            relies(opened(key=private(1)))


@pytest.mark.parametrize("table", ["ml_platform_ledger", "ML_Platform_Ledger"])
def test_a_database_that_swallows_what_is_written_is_found_out(
    path: Path, opened: Callable[..., Ledger], table: str
) -> None:
    ledger = opened()
    write(ledger, verdict())
    with sqlite3.connect(path) as connection:
        connection.execute(
            f"CREATE TRIGGER quiet BEFORE INSERT ON {table} WHEN NEW.kind = 'verdict' BEGIN SELECT RAISE(IGNORE); END"
        )
    connection.close()
    with pytest.raises(Broken, match="its database does not keep what is written"):
        write(ledger, verdict(ROWS))
    with pytest.raises(Broken, match="the triggers of its table ml_platform_ledger changed"):
        opened().verify()


@pytest.mark.parametrize(
    "text",
    ["abc", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", private(1)[:20]],  # pragma: allowlist secret
)
def test_a_key_that_is_none_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(PlatformError, match="ML_PLATFORM_LEDGER_KEY is no private Ed25519 key") as error:
        Signer(text)
    assert text not in str(error.value)


def test_a_number_that_is_given_twice_is_relied_on_by_nobody(
    opened: Callable[..., Ledger], filled: Ledger, path: Path
) -> None:
    rows = rows_of(path)
    failed = next(row for row in rows if json.loads(row["body"]).get("status") == "failed")
    without_keys(path, {**turned(failed), "hash": "f" * 64})
    # Hidden from what walks the chain, and found by its content.
    for ledger in (filled, opened()):
        with pytest.raises((Refused, Broken)):
            ledger.require(ONE, [RULES], subject_name=MARCH)
    with pytest.raises(Broken, match=r"^ledger: the primary key of its table ml_platform_ledger changed"):
        opened().verify()
    with pytest.raises(Broken, match="primary key"):
        require(opened())


def rejected(ledger: Ledger) -> None:
    body = {"by": "ann", "because": "biased"}
    ledger.decide("rejection", subject=ONE, subject_name="m/model", body=body, run_id="run", provenance=HERE)


def test_an_index_hides_no_decision(opened: Callable[..., Ledger], filled: Ledger, path: Path) -> None:
    rejected(filled)
    filled.verify()
    hidden(path, "kind = 'rejection'")
    for found in (filled.entries(subject=ONE, subject_name="m/model"), filled.entries(subject_name="m/model")):
        assert [entry.kind for entry in found] == ["rejection"]
    for asked in (lambda: opened().verify(), lambda: opened().entries(subject_name="m/model")):
        with pytest.raises(Broken, match="the indexes of its table ml_platform_ledger changed"):
            asked()


@pytest.mark.parametrize("column", ["subject", "subject_name"])
def test_the_own_index_hides_no_decision(
    opened: Callable[..., Ledger], filled: Ledger, path: Path, column: str
) -> None:
    rejected(filled)
    hidden(path, "kind = 'rejection'", f"ix_ml_platform_ledger_{column}", column)
    for ledger in (filled, opened()):
        assert [entry.kind for entry in ledger.entries(subject=ONE, subject_name="m/model")] == ["rejection"]
    with pytest.raises(Broken, match=r"its database is damaged: .*ix_ml_platform_ledger"):
        opened().verify()


def test_a_decision_that_was_changed_is_not_read(filled: Ledger, path: Path) -> None:
    rejected(filled)
    filled.verify()
    with hand(path) as connection:
        connection.execute("UPDATE ml_platform_ledger SET kind = 'approval' WHERE kind = 'rejection'")
    with pytest.raises(Broken, match="was changed or removed"):
        filled.entries(subject_name="m/model")


@pytest.mark.parametrize("column", ["body", "provenance", "at"])
def test_bytes_instead_of_text_are_told_in_a_line(
    opened: Callable[..., Ledger], filled: Ledger, path: Path, column: str
) -> None:
    with hand(path) as connection:
        connection.execute(f"UPDATE ml_platform_ledger SET {column} = CAST({column} AS BLOB) WHERE subject = ?", [TWO])
    with pytest.raises(Broken, match=LINE):
        opened().verify()
    with pytest.raises(Broken, match="was changed after it was written"):
        require(filled)


@pytest.mark.parametrize("head", ["", "00", "none"])
def test_a_note_that_was_emptied_is_one_that_was_taken_away(head: str) -> None:
    note = Anchor.of({"ledger_head": head, "ledger_length": ""}, "a merge")
    assert note is not None
    with pytest.raises(Broken, match="the note of its head at a merge was taken away"):
        Chain().require([note])
