"""Kinds of the platform, and one as a user writes it, keep the contract of the package."""

from types import SimpleNamespace
from typing import Any

import polars as pl

from ml_platform.gates.deployment import DeploymentEvidence
from ml_platform.gates.gate import Gate, Measurement, kind
from ml_platform.gates.service import ServiceEvidence
from ml_platform.testing.gate import GateContract


@kind("takings", "batch", "Mean of a column", needs=("min",), requires=("columns",))
def takings(evidence: Any, gate: Gate) -> Measurement:
    assert gate.columns is not None
    values = evidence.frame[gate.columns[0]]
    return Measurement(
        values.mean(), f"the mean is {values.mean()}", support=len(values), details={"rows": len(values)}
    )


class TestOwn(GateContract):
    gate = {"gate": f"{__name__}:takings", "columns": ["amount"], "min": 3}  # noqa: RUF012

    def sound(self) -> Any:
        return SimpleNamespace(frame=pl.DataFrame({"amount": [3.0, 4.0]}))

    def broken(self) -> Any:
        return SimpleNamespace(frame=pl.DataFrame({"amount": [1.0, 2.0]}))


class TestHealth(GateContract):
    gate = {"gate": "health"}  # noqa: RUF012

    def sound(self) -> DeploymentEvidence:
        return DeploymentEvidence("http://127.0.0.1:1", wanted="2", answering="2")

    def broken(self) -> DeploymentEvidence:
        return DeploymentEvidence("http://127.0.0.1:1", wanted="2", answering="1")


class TestServability(GateContract):
    gate = {"gate": "servability"}  # noqa: RUF012

    def answered(self, error: str) -> ServiceEvidence:
        return ServiceEvidence(error, 1.0, 3, 0, 0, 0.0, (), 0)

    def sound(self) -> ServiceEvidence:
        return self.answered("")

    def broken(self) -> ServiceEvidence:
        return self.answered("it ended with 1")
