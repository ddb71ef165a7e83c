"""Batches judged where they are: the gates' own evidence on frames, without store, ledger and run."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_platform.declarations.context import ModelContext
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.gate import KINDS, Gate, Verdict, judge

if TYPE_CHECKING:
    import polars as pl


@dataclass
class Shared:
    """What several partitions of the same frames, judged one after the other, need to find out once only."""

    #: Partition to the rows that stay in it, and those that are set aside.
    good: "dict[str, tuple[pl.DataFrame, pl.DataFrame | None]]" = field(default_factory=dict)
    #: Measures of earlier partitions, as of :class:`~ml_platform.gates.batch.BatchEvidence`.
    measured: dict[Any, Any] = field(default_factory=dict)


class Arrivals:
    """One partition of a dataset behind the accepted ones before it, in whatever state it arrives.

    Gives the verdicts that an audit would give (``ml_platform.pipeline.data.audit``), for a fraction of its time.
    """

    def __init__(
        self,
        context: ModelContext,
        frames: "dict[str, pl.DataFrame]",
        partition: str,
        now: datetime,
        again: bool = False,
        shared: Shared | None = None,
    ) -> None:
        """``frames`` are the batches as they came from the source, this one and those before it at least.

        ``again``: this one is published as it came, and what arrives replaces it. ``shared`` is of Arrivals of the same
        frames and context.
        """
        self.context, self.partition, self.now = context, partition, now
        self._shared = shared or Shared()
        whole = {name: self._kept(name, frame) for name, frame in frames.items() if name <= partition}
        self._before = whole[partition][0] if again else None
        self._earlier = {name: good for name, (good, _) in whole.items() if name < partition}
        self._read: dict[tuple[tuple[str, ...], tuple[str, ...]], pl.DataFrame] = {}
        self.gates: tuple[Gate, ...] = context.dataset.gates_of("batch")
        #: When each gate last held a batch back, and how long it took first.
        self._last: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        #: Verdicts on the batch as it came.
        self.clean: dict[str, Verdict] = {}
        clean = whole[partition][0]
        self._narrow = {gate.name: columns for gate in self.gates if (columns := self._columns(gate, clean))}
        self._frame = clean
        evidence = self._evidence(*whole[partition])
        self.clean = {gate.name: self._verdict(gate, evidence, clean) for gate in self.gates}

    def verdicts(self, frame: "pl.DataFrame") -> list[Verdict]:
        """What every gate on batches says of ``frame``."""
        good, aside = self._good(frame)
        evidence = self._evidence(good, aside)
        return [self._verdict(gate, evidence, good) for gate in self.gates]

    def _evidence(self, good: "pl.DataFrame", aside: "pl.DataFrame | None") -> BatchEvidence:
        dataset = self.context.dataset
        return BatchEvidence(
            frame=lambda: good,
            schema=dataset.load_schema,
            key=dataset.key,
            earlier_rows={name: earlier.height for name, earlier in self._earlier.items()},
            set_aside=lambda: aside,
            new_columns=dataset.new_columns,
            earlier_columns=self._unknown(),
            earlier=self._rows,
            time=dataset.time,
            window=dataset.partitions.window(self.partition),
            now=self.now,
            replaced=lambda: None if self._before is None else ("", self._before),
            # Frames do not change, so that the name of one stands for its content.
            contents={name: name for name in self._earlier},
            measured=self._shared.measured,
        )

    def holding(self, frame: "pl.DataFrame") -> list[Verdict]:
        """The blocking gates that hold ``frame`` back and let the batch pass as it came; failed before errored."""
        return sorted(filter(self._counts, self.verdicts(frame)), key=lambda one: one.status == "errored")

    def held(self, frame: "pl.DataFrame") -> bool:
        """Whether there is such a gate; asks those first that said so last, then those that are quick."""
        good, aside = self._good(frame)
        evidence = self._evidence(good, aside)
        for gate in sorted(self.gates, key=lambda one: (-self._last.get(one.name, 0), self._seconds[one.name])):
            if self._counts(self._verdict(gate, evidence, good)):
                self._last[gate.name] = max(self._last.values(), default=0) + 1
                return True
        return False

    def _counts(self, verdict: Verdict) -> bool:
        return verdict.holds_back and self.clean[verdict.gate].passed

    def _verdict(self, gate: Gate, evidence: BatchEvidence, frame: "pl.DataFrame") -> Verdict:
        # A gate that reads a few columns says the same again where these are the same.
        columns = self._narrow.get(gate.name, ())
        if columns and gate.name in self.clean and self._same(frame, columns):
            return self.clean[gate.name]
        begun = time.perf_counter()
        (verdict,) = judge([gate], evidence, subject="", subject_name=f"{self.context.dataset.prefix}{self.partition}")
        self._seconds.setdefault(gate.name, time.perf_counter() - begun)
        return verdict

    def _same(self, frame: "pl.DataFrame", columns: tuple[str, ...]) -> bool:
        if frame.height != self._frame.height or any(name not in frame.columns for name in columns):
            return False
        return all(frame[name].equals(self._frame[name], check_dtypes=True, null_equal=True) for name in columns)

    def _columns(self, gate: Gate, frame: "pl.DataFrame") -> tuple[str, ...]:
        """All that a gate reads of a batch, where its declaration says so: built-in kinds on columns that it names."""
        # Those of a correction are compared row by row, by the key.
        if gate.gate not in KINDS or not gate.columns or gate.gate == "correction":
            return ()
        outcome = (gate.against,) if gate.gate == "association" and gate.against else ()
        found = dict.fromkeys((*gate.columns, *(gate.by or ()), *outcome, self.context.dataset.time))
        return tuple(found) if all(name in frame.columns for name in found) else ()

    def _kept(self, name: str, frame: "pl.DataFrame") -> "tuple[pl.DataFrame, pl.DataFrame | None]":
        if name not in self._shared.good:
            self._shared.good[name] = self._good(frame)
        return self._shared.good[name]

    def _good(self, frame: "pl.DataFrame") -> "tuple[pl.DataFrame, pl.DataFrame | None]":
        """The rows that stay in the batch, and those that are set aside where the dataset declares it."""
        dataset = self.context.dataset
        if dataset.quarantine is None:
            return frame, None
        from ml_platform.datasets.quarantine import separate

        good, aside = separate(dataset.load_schema(), frame, new_columns=dataset.new_columns)
        return good, aside if aside.height else None

    def _unknown(self) -> tuple[str, ...]:
        """Columns beyond the schema that the batch before has, where such are accepted."""
        dataset = self.context.dataset
        if dataset.new_columns == "refuse" or not self._earlier:
            return ()
        known = {*dataset.types()}
        return tuple(name for name in self._earlier[max(self._earlier)].columns if name not in known)

    def _rows(self, partitions: tuple[str, ...], columns: tuple[str, ...]) -> "pl.DataFrame":
        import polars as pl

        if (partitions, columns) not in self._read:
            frames = [self._earlier[name].select(columns) for name in partitions]
            self._read[partitions, columns] = pl.concat(frames, how="vertical_relaxed")
        return self._read[partitions, columns]
