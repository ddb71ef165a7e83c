"""What is held back, of many contents: as all their verdicts say, and read for those alone that did not always pass."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_platform.foundation.files import canonical_json
from ml_platform.gates.gate import Verdict
from ml_platform.ledger import ledger as module
from ml_platform.ledger.entry_text import plainly_passed
from ml_platform.ledger.ledger import Ledger
from ml_platform_tests.ledger.writing import HERE, ROWS, RULES, verdict, write

NAMES = [f"flights/batch/2013-01-{day:02}" for day in range(1, 5)]
STATUSES = st.sampled_from(["passed", "failed", "not_enough_support", "errored"])
DETAILS = st.sampled_from([{}, {"status": "passed"}, {"said": '"status":"passed"'}, {"rows": [{"status": "failed"}]}])


@given(STATUSES, DETAILS, st.text(max_size=5))
def test_only_what_passed_is_taken_for_a_pass(status: Any, details: dict[str, Any], reason: str) -> None:
    told = verdict(status=status).model_copy(update={"details": details, "reason": f'"status":"passed"{reason}'})
    body = canonical_json(told.recorded())
    assert not plainly_passed(body) or status == "passed"
    assert not plainly_passed(json.dumps(told.recorded(), indent=1))
    if not any("status" in str(part) for part in details.items()):
        assert plainly_passed(body) == (status == "passed")


GIVEN = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from("12"), st.sampled_from([RULES, ROWS]), STATUSES, DETAILS),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(GIVEN, st.booleans())
def test_it_is_what_all_verdicts_say(
    tmp_path_factory: pytest.TempPathFactory, given_: list[tuple[str, str, Any, Any, Any]], overridden: bool
) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}")
    for name, subject, gate, status, details in given_:
        told = verdict(gate, subject=subject * 64, name=name, status=status)
        write(ledger, told.model_copy(update={"details": details}))
        if overridden and status == "failed":
            ledger.override(told, by="ada", reason="seen", days=1, run_id="r", provenance=HERE)
            overridden = False
    for subjects in ({name: "1" * 64 for name in NAMES}, {name: "2" * 64 for name in NAMES}):
        judged = ledger.judged(subjects, [RULES, ROWS])
        held = {name: [one for one in found.values() if one.holds_back] for name, found in judged.items()}
        assert ledger.held_back(subjects, [RULES, ROWS]) == {name: found for name, found in held.items() if found}


@pytest.mark.parametrize("passed", [3, 30])
def test_what_passed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: int) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    names = {f"flights/batch/{number}": f"{number:064}" for number in range(passed)}
    verdicts: list[Verdict] = [verdict(subject=subject, name=name) for name, subject in names.items()]
    bad = verdict(subject="f" * 64, name="flights/batch/bad", status="failed")
    write(ledger, *verdicts, bad)
    read: list[int] = []
    real = module.held

    def counted(reader: Any, chain: Any, sequences: Iterable[int]) -> list[Any]:
        read.extend(wanted := list(sequences))
        return real(reader, chain, wanted)

    monkeypatch.setattr(module, "held", counted)
    assert ledger.refused("flights/batch/") == {bad.subject_name: [bad]}
    assert read == [passed + 1]
