"""Series for a collector of Prometheus' text files."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily


class Family(NamedTuple):
    """One series: its name, what it is, and its values by their labels. NaN is a value that nobody knows."""

    name: str
    said: str
    values: Iterable[tuple[Mapping[str, str], float]]


def exposition(families: Iterable[Family]) -> str:
    """The series as gauges in Prometheus' text format."""
    from prometheus_client import generate_latest

    return generate_latest(_Collected(families)).decode()  # pyright: ignore[reportArgumentType]


class _Collected:
    """As much of a registry as is asked for."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        from prometheus_client.core import GaugeMetricFamily

        for name, said, values in self._families:
            told = [(dict(labels), value) for labels, value in values]
            family = GaugeMetricFamily(name, said, labels=[*told[0][0]] if told else [])
            for labels, value in told:
                family.add_metric([*labels.values()], value)
            yield family
