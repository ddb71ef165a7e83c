"""What it costs to rely on a verdict: the chain of a long ledger, verified at first use and at every one after it.

    python benchmarks/ledger.py [--entries 100000] [--signed]

Cold is a fresh process; warm is what ``require`` takes when nothing, or a few entries, are new. Anchors come from
memory, so the round trip to the store is not in it.
"""

import argparse
import base64
import statistics
import tempfile
import time
from pathlib import Path

from ml_platform.foundation.files import canonical_json
from ml_platform.foundation.provenance import Provenance
from ml_platform.gates import every_kind  # noqa: F401 - registers the kinds
from ml_platform.gates.gate import Gate, Verdict
from ml_platform.ledger import verified
from ml_platform.ledger.chain import Anchor
from ml_platform.ledger.ledger import Ledger
from ml_platform.ledger.table import last, table
from ml_platform.ledger.writing import following

GATES = [Gate(gate=name, max=0).within("benchmark") for name in ("rules", "duplicates")]
HERE = Provenance(code_commit="c" * 40, dirty=False, lock_sha256="d" * 64, python="3.11.7")


def judged(number: int, gate: Gate) -> Verdict:
    """A verdict of the usual size."""
    return Verdict(
        gate=gate.name,
        stage=gate.stage,
        subject=f"{number:064x}",
        subject_name=f"flights/batch/{number:06}",
        status="passed",
        blocking=True,
        observed=0.0,
        threshold=gate.threshold,
        declaration=gate.declaration,
        context=gate.context,
        reason="0 of 27,004 rows break a rule",
        details={"rows": 27004, "rules": [{"rule": f"rule_{index}", "broken": 0} for index in range(5)]},
    )


def fill(ledger: Ledger, entries: int) -> None:
    """Write verdicts as the ledger does, in one transaction."""
    ledger.record([judged(0, GATES[0])], run_id="run", provenance=HERE)
    common = {"provenance": canonical_json(HERE.model_dump()), "run_id": "run", "actor": "ada"}
    with ledger._engine.begin() as connection:
        newest = last(connection)
        rows = []
        while newest["sequence"] < entries:
            number, gate = divmod(newest["sequence"], len(GATES))
            verdict = judged(number + 1, GATES[gate])
            row = {"kind": "verdict", "subject": verdict.subject, "subject_name": verdict.subject_name}
            body = canonical_json(verdict.recorded())
            newest = following(ledger._signer, newest, {**row, "gate": verdict.gate, "body": body, **common})
            rows.append(newest)
        connection.execute(table.insert(), rows)


def milliseconds(ledger: Ledger, number: int) -> float:
    """Processor time of one ``require``: on a shared machine the clock on the wall measures the others."""
    began = time.process_time()
    ledger.require(f"{number:064x}", GATES, subject_name=f"flights/batch/{number:06}")
    return (time.process_time() - began) * 1000


def main() -> None:
    """Print times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--signed", action="store_true")
    options = parser.parse_args()
    key = base64.b64encode(b"k" * 32).decode() if options.signed else ""
    anchors: list[Anchor] = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'ledger.db'}"
        ledger = Ledger(url, key=key, anchors=[lambda owners: anchors])
        fill(ledger, options.entries)
        anchors.append(ledger.anchor())
        cold = []
        for _ in range(3):
            verified._verified.clear()
            ledger = Ledger(url, key=key, anchors=[lambda owners: anchors])
            cold.append(milliseconds(ledger, 100))
        warm = [milliseconds(ledger, 100 + round) for round in range(200)]
        growing = []
        for number in range(50):
            more = [judged(options.entries + number, gate) for gate in GATES]
            ledger.record(more, run_id="run", provenance=HERE)
            growing.append(milliseconds(ledger, options.entries + number))
        began = time.process_time()
        entries = ledger.verify()
        took = time.process_time() - began
    print(f"{entries} entries{', signed' if key else ''}")
    print("processor time:")
    print(f"cold require: {min(cold):.0f} ms (median {statistics.median(cold):.0f})")
    for name, times in (("nothing new", warm), ("two entries new", growing)):
        worst = statistics.quantiles(times, n=100)[94]
        print(f"warm require, {name}: median {statistics.median(times):.2f} ms, p95 {worst:.2f} ms")
    print(f"verify, every signature: {took:.1f} s")


if __name__ == "__main__":
    main()
