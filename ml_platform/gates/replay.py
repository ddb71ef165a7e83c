"""Gate on a replay: is the model what its manifest, code commit and seed give? Costs a second training.

It runs in the environment that is installed here, which trained the model just now: no network, nothing to install.
"""

from dataclasses import dataclass

from ml_platform.gates.gate import Gate, Measurement, kind


@dataclass(frozen=True)
class Replay:
    """What a replay gave, beside what was recorded."""

    model: str
    code_commit: str
    #: Python with its packages that ran the code: the folder of its environment.
    environment: str
    #: What differs from the first time before anything was run; said before the result.
    warnings: tuple[str, ...]
    #: Partition to recorded and rebuilt sha256 of its features.
    features: dict[str, tuple[str, str]]
    #: Recorded and rebuilt sha256 of the model file.
    recorded: str
    rebuilt: str
    #: Metric on the holdout to recorded and rebuilt value; ``None`` where there is none.
    metrics: dict[str, tuple[float | None, float | None]]
    seconds: float

    @property
    def other_features(self) -> list[str]:
        """Partitions whose features came out differently."""
        return [partition for partition, (was, now) in self.features.items() if was != now]

    @property
    def bytes_equal(self) -> bool:
        """Whether the model file is the same, byte for byte."""
        return self.recorded == self.rebuilt

    @property
    def other_metrics(self) -> list[str]:
        """Metrics that came out differently; those of a model that was never evaluated are none."""
        return [name for name, (was, now) in self.metrics.items() if was != now]

    @property
    def equal(self) -> bool:
        """Whether everything is the same."""
        return self.bytes_equal and not self.other_features and not self.other_metrics


@kind(
    "replay",
    "evaluation",
    "Differences between the model and its rebuild from manifest, code commit and seed in a fresh process",
    limit=0,
    asks=("replay",),
    refits=True,
)
def replay(_: object, gate: Gate, *, replay: Replay) -> Measurement:
    """Feature files, model file and metrics that come out differently.

    The replay is done only where this gate asks for it: it costs a second training.
    """
    found = replay
    other = [f"features of {partition}" for partition in found.other_features]
    other += [] if found.bytes_equal else ["model file"]
    other += [f"metric {name}" for name in found.other_metrics]
    outcome = f"different: {', '.join(other[:8])}" if other else "features, model file and metrics are equal"
    return Measurement(
        len(other),
        "; ".join([*found.warnings, outcome]),
        support=len(found.features) + 1 + len(found.metrics),
        details={
            "files": [
                {"file": f"features of {partition}", "recorded": was, "rebuilt": now}
                for partition, (was, now) in found.features.items()
            ]
            + [{"file": "model", "recorded": found.recorded, "rebuilt": found.rebuilt}],
            "metrics": [
                {"metric": name, "recorded": was, "rebuilt": now} for name, (was, now) in sorted(found.metrics.items())
            ],
        },
    )
