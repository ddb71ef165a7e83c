"""What every kind of gate has to do. Subclass it and give the gate evidence that it accepts, and some that it alone
refuses."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from polars.exceptions import PolarsError

from ml_platform.gates.gate import Gate, Verdict, judge, kind_of
from ml_platform.testing.elsewhere import ZONES, in_zone

#: Rows behind which others are not looked at by a gate that looks at the first ones only.
_MANY = 2000


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
    #: Whether the order of its columns means something, for a kind that takes one or more.
    ordered: bool = False

    def sound(self) -> Any:
        """Evidence that the gate accepts."""
        raise NotImplementedError("give the contract evidence that the gate accepts")

    def broken(self) -> Any:
        """Evidence that differs from :meth:`sound` in what the gate is there to see."""
        raise NotImplementedError("give the contract evidence that the gate refuses")

    def verdict(self, evidence: Any, **changes: Any) -> Verdict:
        """What the gate says of the evidence."""
        given = _given(evidence)
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

    def test_a_verdict_of_another_day_is_equal(self) -> None:
        """As far as the time zone tells: what a gate says of content does not hang on when it is asked."""
        if kind_of(self.gate["gate"]).timed:
            return
        for evidence in (self.sound(), self.broken()):
            found: list[Verdict] = []
            for zone in ZONES:
                with in_zone(zone):
                    found.append(self.verdict(evidence))
            assert found[0] == found[1], "asked on another day it says something else; leave the date out"

    def test_a_missing_value_switches_nothing_off(self) -> None:
        """Of evidence that it refuses, where one value of a column is missing: it is no way to pass."""
        broken = self.broken()
        rows = max((frame.height for frame in _frames(broken).values()), default=0)
        if 0 < rows < 3:
            broken, rows = _changed(broken, lambda frame: pl.concat([frame] * 3)), rows * 3
        if not rows or self.verdict(broken).status != "failed":
            return
        places = sorted({*np.linspace(0, rows - 1, 20).astype(int).tolist()})
        for column in self.measured_columns(broken):
            found = [self.verdict(_changed(broken, partial(_without, column, place))) for place in places]
            passed = [one for one in found if one.status == "passed"]
            assert len(passed) < len(found), f"one missing value of {column} lets it pass, saying: {passed[0].reason}"

    def test_a_column_of_another_type_is_not_nothing_to_measure(self) -> None:
        """Texts where numbers are expected: an error, or a value; a gate that has none to give passes."""
        broken = self.broken()
        frames = _frames(broken).values()
        for column in self.measured_columns(broken):
            if any(column in frame.columns and frame.schema[column].is_numeric() and frame.height for frame in frames):
                found = self.verdict(_changed(broken, partial(_texts, column)))
                told = f"texts as {column} let it pass without a value, saying: {found.reason}"
                assert found.status != "passed" or found.observed is not None, told

    def test_a_column_that_is_gone_is_no_pass(self) -> None:
        """One that is declared, or without which there is no value: nothing was looked at."""
        for evidence in (self.sound(), self.broken()):
            there = {name for frame in _frames(evidence).values() for name in frame.columns}
            for column in there & {*self.measured_columns(evidence)}:
                found = self.verdict(_changed(evidence, partial(_dropped, column)))
                # What is not declared may be a column that it does not read.
                unread = column not in self.gate.get("columns", ()) and found.observed is not None
                told = f"without the column {column} it passed, saying: {found.reason}"
                assert found.status != "passed" or unread, told

    def test_every_column_is_looked_at(self) -> None:
        """Wherever it stands in `columns`, where a kind takes one or more of them."""
        number = kind_of(self.gate["gate"]).number(self.gate.get("metric"))
        declared = [*self.gate.get("columns", ())]
        if self.ordered or number is None or number[0] > 1 or number[1] == 1 or not declared:
            return
        good, bad = _frames(self.sound()), _frames(self.broken())
        places = [place for place in bad if place in good and declared[0] in good[place].columns and good[place].height]
        if not places:
            return
        room = 2 if number[1] is None else min(2, number[1] - len(declared))
        beside = [f"{declared[0]} {count}" for count in range(2, 2 + room)]

        def widened(place: str) -> pl.DataFrame:
            """What is bad, with what is good beside it under other names."""
            values = _cycled(good[place][declared[0]], bad[place].height)
            return bad[place].with_columns(values.alias(name) for name in beside)

        names, held = [*declared, *beside], {place: widened(place) for place in places}
        found: dict[str, str] = {}
        for start in range(len(names)):
            columns = [*names[start:], *names[:start]]
            try:
                found[", ".join(columns)] = self.verdict(_held(self.broken(), held), columns=columns).status
            except ValueError:
                return  # its other keys go with these columns only
        told = "; ".join(f"{status} with columns [{columns}]" for columns, status in found.items())
        assert len({*found.values()}) < 2, f"the order of its columns decides: {told}"

    def test_rows_are_looked_at_wherever_they_stand(self) -> None:
        """Bad rows behind many good ones are judged as before them."""
        sound, broken = _frames(self.sound()), _frames(self.broken())
        places = [place for place in broken if place in sound and sound[place].height and broken[place].height]
        good, bad = ({place: _many(frames[place]) for place in places} for frames in (sound, broken))
        with suppress(PolarsError):
            before = {place: pl.concat([bad[place], good[place]], how="vertical_relaxed") for place in places}
            behind = {place: pl.concat([good[place], bad[place]], how="vertical_relaxed") for place in places}
            first, last = (self.verdict(_held(self.broken(), frames)).status for frames in (before, behind))
            assert first == last, f"{first} where what is bad stands first, {last} where it stands behind {_MANY} rows"

    def measured_columns(self, evidence: Any) -> list[str]:
        """Columns that the gate declares, else all of them."""
        there = [*dict.fromkeys(name for frame in _frames(evidence).values() for name in frame.columns)]
        return [name for name in there if name in self.gate.get("columns", there)]

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


class _With:
    """Evidence with other rows."""

    def __init__(self, evidence: Any, frame: pl.DataFrame) -> None:
        self._evidence, self._frame = evidence, frame

    @property
    def frame(self) -> pl.DataFrame:
        return self._frame.clone()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._evidence, name)


def _given(evidence: Any) -> Given:
    return evidence if isinstance(evidence, Given) else Given(evidence, {})


def _frames(evidence: Any) -> dict[str, pl.DataFrame]:
    """The frames in evidence: of itself by an empty name, and of what was asked for."""
    given = _given(evidence)
    found = {name: getattr(one, "frame", None) for name, one in {"": given.evidence, **given.asked}.items()}
    return {name: frame for name, frame in found.items() if isinstance(frame, pl.DataFrame)}


def _held(evidence: Any, frames: Mapping[str, pl.DataFrame]) -> Given:
    """Evidence with other frames."""
    given = _given(evidence)
    every = {"": given.evidence, **given.asked}
    held = {name: _With(one, frames[name]) if name in frames else one for name, one in every.items()}
    return Given(held.pop(""), held)


def _changed(evidence: Any, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Given:
    return _held(evidence, {name: change(frame) for name, frame in _frames(evidence).items()})


def _many(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame] * -(-_MANY // frame.height))


def _without(column: str, place: int, frame: pl.DataFrame) -> pl.DataFrame:
    if column not in frame.columns:
        return frame
    return frame.with_columns(pl.when(pl.int_range(pl.len()) != place).then(pl.col(column)).alias(column))


def _dropped(column: str, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop(column, strict=False)


def _cycled(values: pl.Series, rows: int) -> pl.Series:
    return values.gather((np.arange(rows) % len(values)).tolist())


def _texts(column: str, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.lit("no number").alias(column)) if column in frame.columns else frame
