"""Gates on features: finite, not constant, blind to the future, and the same when served."""

from functools import cached_property
from typing import TYPE_CHECKING

from ml_platform.features.contract import feature_names
from ml_platform.gates.gate import Gate, Measurement, kind

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.history import History
    from ml_platform.features.materialize import Materializer
    from ml_platform.refs import DatasetRef

#: Rows that are featurized one by one through the serving path.
PARITY_ROWS = 200


class FeatureEvidence:
    """The features of one partition, with the raw rows and the history they were built from."""

    def __init__(self, materializer: "Materializer", ref: "DatasetRef") -> None:
        self.materializer, self.ref = materializer, ref
        self.function = materializer.function

    @cached_property
    def frame(self) -> "pl.DataFrame":
        """The features, verified."""
        return self.materializer.read(self.ref)

    @cached_property
    def raw(self) -> "pl.DataFrame":
        """The published rows that the features were built from."""
        return self.materializer.raw(self.ref.partition)

    @property
    def partitions(self) -> list[str]:
        """Partitions that the features stand on, this one last."""
        return sorted(name.rpartition("/")[2] for name in self.ref.inputs)

    @cached_property
    def history(self) -> "History":
        """The history that the features were built with."""
        return self.materializer.history(self.partitions)


@kind("ranges", "features", "Features with infinite values or without any value", limit=0)
def ranges(evidence: FeatureEvidence, _: Gate) -> Measurement:
    """Infinite and empty features.

    Missing and constant ones are shown: a month may be without a holiday.
    """
    from ml_platform.features.checks import range_evidence

    found = range_evidence(evidence.frame, feature_names(evidence.function))
    bad = [name for name, row in found.items() if row.infinite or row.missing >= 1.0]
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
        f"infinite or empty: {', '.join(bad[:8])}" if bad else f"{len(found)} features have finite values",
        support=evidence.frame.height,
        details={"features": table},
    )


@kind("leakage", "features", "Features that change when outcomes of later days are corrupted", limit=0)
def leakage(evidence: FeatureEvidence, _: Gate) -> Measurement:
    """Time travel: corrupt every outcome from a day on; no feature of a row before it may notice."""
    from ml_platform.features.checks import time_travel
    from ml_platform.validation.schema import columns

    schema = evidence.materializer.dataset.load_schema()
    outcomes = [column.name for column in columns(schema) if column.outcome]
    found = time_travel(
        evidence.function,
        evidence.raw,
        evidence.materializer.tables(evidence.partitions[:-1]),
        evidence.materializer.spec.history_lag,
        outcomes,
        built=evidence.frame,
    )
    leaking = found.changed
    return Measurement(
        len(leaking),
        f"{', '.join(sorted(leaking)[:8])} know outcomes from {found.cut} on before they are known"
        if leaking
        else f"no feature changed when the outcomes from {found.cut} on were corrupted",
        support=evidence.frame.height,
        details={
            "features": [{"feature": name, "rows": count} for name, count in sorted(leaking.items())],
            "outcomes": outcomes,
        },
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
    wrong = found.different
    return Measurement(
        len(wrong),
        f"{', '.join(sorted(wrong)[:8])} differ when served"
        if wrong
        else f"{found.rows} rows are equal to the last bit",
        support=found.rows,
        details={"features": [{"feature": name, "rows": count} for name, count in sorted(wrong.items())]},
    )
