"""Which partitions a model is trained on and which are held out, by content hash."""

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_platform.features.parts import divided
from ml_platform.foundation.errors import MissingReference, PlatformError, Refused
from ml_platform.foundation.names import some
from ml_platform.references.refs import ManifestEntry, SplitRef
from ml_platform.sources.partitions import Partitions


class SplitRule(BaseModel):
    """How the newest partitions are divided; sizes are numbers of partitions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holdout: int | float = Field(
        default=1,
        gt=0,
        description="What is held out for evaluation: newest partitions, or without partitions a share of the groups.",
    )
    group: tuple[str, ...] = Field(
        default=(), description="Without partitions: columns whose rows stay together, e.g. the customer; default: key."
    )
    train: int | None = Field(default=None, ge=1, description="At most this many before them; None: all.")
    gap: int = Field(default=0, ge=0, description="Partitions left unused between training and holdout.")
    label_delay: int = Field(
        default=0,
        ge=0,
        description="Days until outcomes are known: partitions that ended later before the newest are left out.",
    )
    refused: Literal["refuse", "list"] = Field(
        default="list", description="A partition refused by its gates: leave it out and list it, or stop."
    )
    refit: bool = Field(
        default=False,
        description="Whether a model that passed is trained once more, on gap and holdout too, and that one answers.",
    )

    @model_validator(mode="after")
    def _whole_partitions_or_a_share(self) -> "SplitRule":
        if isinstance(self.holdout, float) and self.holdout >= 1:
            raise ValueError("holdout: a number of partitions (1, 2, …), or a share of the groups below 1 (0.2)")
        return self

    @property
    def newest(self) -> int:
        """Number of newest partitions that are held out. Raises PlatformError for a share."""
        if isinstance(self.holdout, float):
            raise PlatformError(
                f"split.holdout: {self.holdout:g} is a share of groups, and this dataset has partitions; give a number "
                "of them, or declare `partitions: none`"
            )
        return self.holdout

    def back(self, partitions: Partitions) -> int:
        """How many of the newest partitions can be none of training, at most. Raises PlatformError for a share."""
        return self.newest + self.gap + math.ceil(self.label_delay / partitions.shortest)

    def labelled(self, partitions: Partitions, keys: Sequence[str], last: date) -> list[str]:
        """Those of the partitions whose outcomes are known when all up to the day before ``last`` have arrived.

        Raises PlatformError where that is none.
        """
        if not self.label_delay:
            return [*keys]
        until = last - timedelta(days=self.label_delay)
        found = [key for key in keys if partitions.window(key)[1] <= until]
        if not found:
            raise PlatformError(
                f"split.label_delay: no partition ended by {until}, {self.label_delay} days before {last}; ingest more"
            )
        return found

    @property
    def share(self) -> float:
        """Share of the groups that is held out. Raises PlatformError for a number of partitions."""
        if isinstance(self.holdout, int):
            raise PlatformError(
                f"split.holdout: {self.holdout} is a number of partitions, and this dataset has none; give a share of "
                "the groups, such as 0.2"
            )
        return self.holdout


class Plan(NamedTuple):
    """A division of partitions, each part in time order."""

    train: tuple[ManifestEntry, ...]
    holdout: tuple[ManifestEntry, ...]
    #: Refused partitions inside the window, which are in neither part.
    refused: tuple[str, ...]
    #: Those between both parts, for a refit.
    between: tuple[ManifestEntry, ...] = ()


class Disjointness(BaseModel):
    """Evidence on whether training and holdout share anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Names of partitions in both parts.
    partitions: tuple[str, ...]
    #: Hashes of feature files in both parts.
    hashes: tuple[str, ...]
    #: Hashes of raw batches whose rows are in both parts (the history of a feature does not count).
    raw: tuple[str, ...]

    @property
    def shared(self) -> int:
        """Number of things that both parts share; 0 is what a gate asks for."""
        return len(self.partitions) + len(self.hashes) + len(self.raw)


class TimeOrder(BaseModel):
    """Evidence on whether training ends before the holdout begins. ISO dates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_last: str
    holdout_first: str

    @property
    def ordered(self) -> bool:
        """Whether the last event of training lies before the first event of the holdout."""
        return self.train_last < self.holdout_first


def plan(
    rule: SplitRule,
    expected: Sequence[str],
    available: dict[str, ManifestEntry],
    refused: AbstractSet[str],
    why: Mapping[str, str] | None = None,
    withdrawn: AbstractSet[str] = frozenset(),
) -> Plan:
    """Divide the newest of the ``expected`` partitions (in time order) by ``rule``.

    Only the window that the rule reaches back to has to be complete; with ``train=None`` that is every
    expected partition. With ``rule.refused == "list"`` refused partitions are passed over, so that the
    parts keep their sizes where older partitions exist; the gap counts every partition. ``withdrawn`` ones are refused
    and passed over always: a person decided that. ``why`` says for a refused partition which gates did that, for the
    error.

    Raises:
        MissingReference: a partition in the window is neither available nor refused. The training set
            is never made smaller instead.
        Refused: a partition in the window was refused and the rule does not allow to leave it out.
        PlatformError: too few partitions, or partitions that are not in time order.
    """
    passed = refused if rule.refused == "list" else withdrawn
    order = list(dict.fromkeys(expected))
    position = len(order)
    left_out: list[str] = []

    def take(count: int | None) -> list[str]:
        nonlocal position
        taken: list[str] = []
        while position > 0 and (count is None or len(taken) < count):
            position -= 1
            if order[position] in passed:
                left_out.append(order[position])
            else:
                taken.append(order[position])
        return taken[::-1]

    holdout = take(rule.newest)
    # The gap counts every partition.
    position, after = max(0, position - rule.gap), position
    between = [name for name in order[position:after] if rule.refit and name not in passed]
    left_out += [name for name in order[position:after] if rule.refit and name in passed]
    train = take(rule.train)

    window = [*train, *between, *holdout]
    if stopped := [name for name in window if name in refused]:
        reasons = "; ".join(f"{name}: {why[name]}" for name in stopped if why and name in why)
        raise Refused(
            f"split: {_names(stopped)} refused by the gates{f' ({reasons})' if reasons else ''}; publish a corrected "
            "batch, or set `split.refused: list` to train without it"
        )
    if missing := [name for name in window if name not in available]:
        raise MissingReference(
            f"split: {_names(missing)} not materialized; materialize the features of every expected "
            "partition (or narrow the window with `train`) and run the split again"
        )
    if len(holdout) < rule.newest or not train:
        reasons = "".join(f", {name}: {why[name]}" for name in left_out[::-1] if why and name in why)
        raise PlatformError(
            f"split: {len(order)} partitions ({len(left_out)} refused{reasons}) are too few for holdout={rule.holdout}"
            f", gap={rule.gap} and at least 1 for training; ingest more or make the holdout smaller"
        )
    entries = [available[name] for name in window]
    _in_time_order(window, entries)
    cut, end = len(train), len(train) + len(between)
    refused_ones = tuple(n for n in order if n in set(left_out))
    return Plan(tuple(entries[:cut]), tuple(entries[end:]), refused_ones, tuple(entries[cut:end]))


def refitted(split: SplitRef, rule: SplitRule) -> SplitRef:
    """What a refit learns from where ``split`` was judged: all of it, of a declared window as many of the newest.

    Data without partitions is whole again. Nothing is held out.
    """
    entries = [entry.model_copy(update={"part": None}) if entry.part else entry for entry in split.learned]
    train = tuple({entry.partition: entry for entry in entries}.values())[-(rule.train or 0) :]
    return split.model_copy(update={"train": train, "between": (), "holdout": (), "refits": split.sha256})


class Differences(NamedTuple):
    """Partitions that are otherwise in one split than in an earlier one of the same model."""

    #: In neither part before.
    new: tuple[str, ...] = ()
    #: Rows that are learned from, or that features remember, are others.
    corrected: tuple[str, ...] = ()
    #: They are gone, since they were refused or withdrawn; that a window moved on is none of these.
    withdrawn: tuple[str, ...] = ()
    #: Other features of the same rows with the same past.
    rebuilt: tuple[str, ...] = ()


def differences(before: SplitRef, now: SplitRef) -> Differences:
    """What a training on ``now`` would learn that one on ``before`` did not."""
    known = {entry.partition: entry for entry in before.learned}
    found = {entry.partition: entry for entry in now.learned}
    both = [(name, known[name], entry) for name, entry in found.items() if name in known]
    corrected, gone = set[str](), {f"/{name}" for name in known if name in now.refused}
    for _, old, new in both:
        corrected |= {name for name, sha256 in old.inputs.items() if new.inputs.get(name, sha256) != sha256}
        gone |= old.inputs.keys() - new.inputs.keys()
    return Differences(
        new=tuple(name for name in found if name not in known),
        corrected=_partitions(corrected),
        withdrawn=_partitions(gone),
        rebuilt=tuple(name for name, old, new in both if old.inputs == new.inputs and old.sha256 != new.sha256),
    )


def _partitions(inputs: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name.rpartition("/")[2] for name in inputs}))


def by_group(rule: SplitRule, whole: ManifestEntry, key: Sequence[str], salt: str) -> Plan:
    """Divide the rows of data without partitions by a hash of their group: ``rule.group``, or the ``key``.

    Raises PlatformError where the rule gives no share.
    """
    train, holdout = divided(whole, rule.share, rule.group or tuple(key), salt)
    return Plan((train,), (holdout,), ())


def complementary(split: SplitRef) -> bool:
    """Whether one hash divides the groups, so that none is in both parts: one share, columns and salt on both sides."""
    parts = [entry.part for entry in (*split.train, *split.holdout)]
    dividing = {(part.share, part.by, part.salt) for part in parts if part}
    names = [{entry.part.name for entry in side if entry.part} for side in (split.train, split.holdout)]
    return None not in parts and len(dividing) == 1 and names == [{"train"}, {"holdout"}]


def check_disjoint(split: SplitRef) -> Disjointness:
    """What training and holdout have in common: partition names, feature files, raw batches; of parts that one hash
    divides, nothing.
    """
    if complementary(split):
        return Disjointness(partitions=(), hashes=(), raw=())

    def common(left: set[str], right: set[str]) -> tuple[str, ...]:
        return tuple(sorted(left & right))

    return Disjointness(
        partitions=common({e.partition for e in split.train}, {e.partition for e in split.holdout}),
        hashes=common({e.sha256 for e in split.train}, {e.sha256 for e in split.holdout}),
        raw=common(set().union(*map(_own, split.train)), set().union(*map(_own, split.holdout))),
    )


def check_time_order(split: SplitRef) -> TimeOrder:
    """The last event of training and the first of the holdout.

    Raises PlatformError where a part is empty, or the data has no time.
    """
    if any(entry.part for entry in split.train):
        raise PlatformError(f"split of {split.model}: data without partitions has no order; remove the gate time_order")
    if not split.train or not split.holdout:
        raise PlatformError(f"split of {split.model}: an empty part has no time; plan the split again")
    return TimeOrder(
        train_last=max(entry.last for entry in split.train),
        holdout_first=min(entry.first for entry in split.holdout),
    )


def _own(entry: ManifestEntry) -> set[str]:
    """Hashes of the batch that the rows of an entry are from; the history of their features does not count."""
    return {sha for name, sha in entry.inputs.items() if name.rpartition("/")[2] == entry.partition}


def _names(partitions: Sequence[str]) -> str:
    shown = some(partitions, 12)
    return f"{'partition' if len(partitions) == 1 else 'partitions'} {shown}"


def _in_time_order(names: Sequence[str], entries: Sequence[ManifestEntry]) -> None:
    for name, entry in zip(names, entries, strict=True):
        if entry.partition != name:
            raise PlatformError(f"split: the entry under {name} says partition {entry.partition}; materialize it again")
    for before, after in pairwise(entries):
        if before.first > after.first:
            raise PlatformError(
                f"split: partition {before.partition} begins at {before.first}, after {after.partition} at "
                f"{after.first}; list the expected partitions in time order"
            )
