"""What every kind of gate has to do. Subclass it and give the gate evidence that it accepts, and some that it alone
refuses."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import pytest

from ml_platform.gates.gate import Gate, Verdict, judge, kind_of


class Given(NamedTuple):
    """Evidence of the stage, and by name what the kind asks for beside it."""

    evidence: Any
    asked: Mapping[str, object]


class GateContract:
    """The tests of a kind of gate, for one of one's own too.

    Evidence of a kind that asks for more is :class:`Given`.
    """

    #: The gate as declared.
    gate: dict[str, Any]

    def sound(self) -> Any:
        """Evidence that the gate accepts."""
        raise NotImplementedError("give the contract evidence that the gate accepts")

    def broken(self) -> Any:
        """Evidence that differs from :meth:`sound` in what the gate is there to see."""
        raise NotImplementedError("give the contract evidence that the gate refuses")

    def verdict(self, evidence: Any, **changes: Any) -> Verdict:
        """What the gate says of the evidence."""
        given = evidence if isinstance(evidence, Given) else Given(evidence, {})
        (found,) = judge(
            [Gate.model_validate({**self.gate, **changes})],
            given.evidence,
            subject="0" * 64,
            subject_name="it",
            asked={name: partial(_as_it_is, value) for name, value in given.asked.items()},
        )
        return found

    def test_it_accepts_what_is_sound_and_refuses_what_is_broken(self) -> None:
        """With a measurement and a reason for people."""
        for evidence, status in ((self.sound(), "passed"), (self.broken(), "failed")):
            found = self.verdict(evidence)
            assert found.status == status, found.reason
            assert found.observed is not None and found.reason and "\n" not in found.reason

    def empty(self) -> Any:
        """Evidence of the same kind without rows; None: it has no rows."""
        return None

    def test_evidence_without_rows_is_no_pass(self) -> None:
        """A mean of no rows is none, which must not pass for a value that was looked at."""
        if (evidence := self.empty()) is None:
            pytest.skip("give the contract `empty`, evidence without rows, where the gate measures rows")
        found = self.verdict(evidence)
        assert found.status != "passed", f"without a row it passed, saying: {found.reason}"

    def test_what_it_looks_at_is_left_as_it_was(self) -> None:
        """Other gates look at the same evidence after it."""
        if not kind_of(self.gate["gate"]).timed:
            for evidence in (self.sound(), self.broken()):
                assert self.verdict(evidence) == self.verdict(evidence), (
                    "it changes its evidence: asked again it differs"
                )

    def test_equal_evidence_has_an_equal_verdict(self) -> None:
        """Else every run would be news for the ledger; kinds that a clock measures say so."""
        if not kind_of(self.gate["gate"]).timed:
            assert self.verdict(self.broken()) == self.verdict(self.broken())

    def test_a_verdict_comes_back_from_the_ledger_as_it_was(self) -> None:
        """Details are plain numbers, texts and lists of flat records."""
        found = self.verdict(self.broken())
        assert Verdict.model_validate_json(found.model_dump_json()) == found

    def test_it_holds_back_where_it_blocks(self) -> None:
        """And where it warns, it only says so."""
        assert self.verdict(self.broken(), severity="block").holds_back
        assert not self.verdict(self.broken(), severity="warn").holds_back

    def test_evidence_that_cannot_be_measured_is_no_pass(self) -> None:
        """The gate errs, and holds back."""
        assert self.verdict(object()).status == "errored"

    def test_what_it_asks_for_is_offered_and_needed(self) -> None:
        """Where it cannot be had, the gate errs, naming it."""
        for name in kind_of(self.gate["gate"]).asks:
            sound = self.sound()
            assert isinstance(sound, Given) and name in sound.asked, f"give what it asks for: Given(…, {{{name!r}: …}})"
            without = {other: value for other, value in sound.asked.items() if other != name}
            found = self.verdict(Given(sound.evidence, without))
            assert found.status == "errored" and name in found.reason

    def test_a_key_that_it_does_not_read_is_refused(self) -> None:
        """So that nobody relies on it."""
        with pytest.raises(ValueError, match="no_such_key"):
            Gate.model_validate({**self.gate, "no_such_key": 1})


def _as_it_is(value: object) -> object:
    return value
