"""Gates on features: finite, not constant, blind to the future, and the same when served."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ml_platform.features.contract import feature_names
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.checks import RangeEvidence
    from ml_platform.features.history import History
    from ml_platform.features.materialize import Materializer
    from ml_platform.references.refs import DatasetRef

#: Rows that are featurized one by one through the serving path.
PARITY_ROWS = 200


class FeatureEvidence:
    """The features of one partition, with the raw rows and the history they were built from."""

    def __init__(
        self, materializer: "Materializer", ref: "DatasetRef", outcomes: Callable[[], list[str]] = list
    ) -> None:
        self.materializer, self.ref = materializer, ref
        self.function = materializer.function
        #: Columns of the raw rows that are known only afterwards.
        self.outcomes = outcomes

    @cached_property
    def _rows(self) -> "pl.DataFrame":
        return self.materializer.read(self.ref)

    @cached_property
    def _raw(self) -> "pl.DataFrame":
        return self.materializer.raw(self.ref.partition)

    @property
    def frame(self) -> "pl.DataFrame":
        """The features, verified: to each that asks a frame of its own of the same columns, for it to change or not."""
        return self._rows.clone()

    @property
    def raw(self) -> "pl.DataFrame":
        """The published rows that the features were built from, in the same way."""
        return self._raw.clone()

    @cached_property
    def ranges(self) -> "dict[str, RangeEvidence]":
        """What the values of each feature are like."""
        from ml_platform.features.checks import range_evidence

        return range_evidence(self.frame, feature_names(self.function))

    @property
    def partitions(self) -> list[str]:
        """Partitions that the features are made from, this one last."""
        return sorted(name.rpartition("/")[2] for name in self.ref.inputs)

    @cached_property
    def history(self) -> "History":
        """The history that the features were built with."""
        return self.materializer.history_of_newest(self.partitions)

    @property
    def without_past(self) -> bool:
        """Whether no row of the partition sees an outcome: there are none of days before it yet."""
        from ml_platform.features.build import days_of

        times = days_of(self.function, self.frame)
        newest: Any = None if times is None else times.max()
        return newest is not None and self.history.blind(newest)


@kind("ranges", "features", "Features with infinite values or without any value", limit=0, version=2)
def ranges(evidence: FeatureEvidence, _: Gate) -> Measurement:
    """Infinite and empty features.

    Missing and constant ones are shown: a month may be without a holiday. Past averages of the first partitions, of
    which no row has a past, have to be empty and count for nothing.
    """
    found = evidence.ranges
    bad = [name for name, row in found.items() if row.infinite or row.missing >= 1.0]
    past = {history.name for history in evidence.function.histories}
    early = [name for name in bad if name in past]
    if early and not evidence.without_past:
        early = []
    bad = [name for name in bad if name not in early]
    table = [
        {
            "feature": name,
            "missing": row.missing,
            "infinite": row.infinite,
            "min": row.min,
            "max": row.max,
            "constant": row.constant,
        }
        for name, row in found.items()
    ]
    return Measurement(
        len(bad),
        f"infinite or empty: {', '.join(bad[:8])}"
        if bad
        else f"{len(found) - len(early)} features have finite values"
        + (f"; {', '.join(early[:8])} have no past yet" if early else ""),
        support=evidence.frame.height,
        details={"features": table},
    )


@kind(
    "leakage",
    "features",
    "Features that change when outcomes are corrupted: those of the last day, of later days, and each row's own",
    limit=0,
)
def leakage(evidence: FeatureEvidence, _: Gate) -> Measurement:
    """Time travel, from several days on, and each row's own outcome; no feature may notice what was not known yet."""
    from ml_platform.features.leakage import leaks

    outcomes = evidence.outcomes()
    found = leaks(
        evidence.function,
        evidence.raw,
        evidence.materializer.declared_before_newest(evidence.partitions),
        evidence.history,
        outcomes,
        evidence.frame,
    )
    table = [
        {"feature": name, "rows": rows, "corrupted from": str(one.cut) if one.cut else "its own row on"}
        for one in found
        for name, rows in sorted(one.changed.items())
    ]
    leaking = sorted({str(row["feature"]) for row in table})
    cuts = ", ".join(sorted(str(one.cut) for one in found if one.cut))
    later = f", and those from {cuts} on" if cuts else ""
    return Measurement(
        len(leaking),
        f"{', '.join(leaking[:8])} know outcomes before they are known"
        if leaking
        else f"no feature changed when outcomes were corrupted: each row's own{later}",
        support=evidence.frame.height,
        details={"features": table, "outcomes": outcomes},
    )


@kind("parity", "features", "Features that differ when rows are featurized one by one as the service does", limit=0)
def parity(evidence: FeatureEvidence, _: Gate) -> Measurement:
    """Train/serve parity, bit for bit, on a sample of rows."""
    from ml_platform.features.checks import parity as compare

    found = compare(
        evidence.function,
        evidence.raw,
        evidence.history,
        feature_names(evidence.function),
        evidence.frame,
        sample=PARITY_ROWS,
    )
    if found.error:
        # No feature is the same where none can be made.
        return Measurement(len(feature_names(evidence.function)), f"serving fails: {found.error}", support=found.rows)
    wrong = found.different
    return Measurement(
        len(wrong),
        f"{', '.join(sorted(wrong)[:8])} differ when served"
        if wrong
        else f"{found.rows} rows are equal to the last bit",
        support=found.rows,
        details={"features": [{"feature": name, "rows": count} for name, count in sorted(wrong.items())]},
    )


@kind(
    "constancy", "features", "Features with one value in the whole partition, but for those in `columns`",
    limit=0, version=2,
)  # fmt: skip
def constancy(evidence: FeatureEvidence, gate: Gate) -> Measurement:
    """Features with one known value; missing throughout is constant too. ``columns`` names those that may be."""
    names = feature_names(evidence.function)
    if unknown := [name for name in gate.columns or () if name not in names]:
        raise PlatformError(f"gate {gate.name}: there is no feature {', '.join(unknown)}; see the feature function")
    found = evidence.ranges
    constant = [name for name, row in found.items() if row.constant]
    bad = [name for name in constant if name not in (gate.columns or ())]
    return Measurement(
        len(bad),
        f"constant: {', '.join(bad[:8])}" if bad else f"{len(names) - len(constant)} of {len(names)} features vary",
        support=evidence.frame.height,
        details={
            "features": [{"feature": name, "value": found[name].min, "allowed": name not in bad} for name in constant]
        },
    )


@kind(
    "single_feature",
    "features",
    "Largest AUC of a single feature for a label (`columns`): an outcome among the features gives itself away",
    needs=("max",),
    requires=("columns",),
    version=2,
)
def single_feature(evidence: FeatureEvidence, gate: Gate) -> Measurement:
    """Leak suspicion: each feature alone, in whichever direction, against each label.

    A label with more than two values is cut at its median. AUC is the share of pairs in the right order
    (Mann-Whitney), ties as half, over rows in which both are known.
    """
    from ml_platform.features.checks import single_feature_auc

    names = feature_names(evidence.function)
    table = []
    for label in gate.columns or ():
        if label not in evidence.function.labels:
            known = ", ".join(evidence.function.labels)
            raise PlatformError(f"gate {gate.name}: {label!r} is no label; the feature function has {known}")
    late = [label for label in gate.columns or () if evidence.frame[label].null_count() == evidence.frame.height]
    if late and len(late) == len(gate.columns or ()):
        return Measurement(None, f"no outcome is known yet ({', '.join(late)}), so nothing can be told")
    for label in gate.columns or ():
        table += [
            {"label": label, "feature": name, "auc": value}
            for name, value in single_feature_auc(evidence.frame, names, label).items()
        ]
    if not table:
        return Measurement(float("nan"), "no label has two values, so nothing can be told", support=0)
    table.sort(key=lambda row: -row["auc"])
    top = table[0]
    return Measurement(
        top["auc"],
        f"{top['feature']} alone has AUC {top['auc']:.3f} for {top['label']}",
        support=evidence.frame.height,
        details={"features": [{**row, "auc": round(row["auc"], 6)} for row in table[:20]]},
    )
