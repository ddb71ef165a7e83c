"""What ``ml-platform check`` found, as JSON, JUnit and Markdown."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ml_platform.foundation.words import printable
from ml_platform.gates.changes import Change
from ml_platform.gates.gate import Gate, Verdict

#: Longest reason in a table of Markdown, characters.
REASON = 300
#: Longest comment that GitHub takes is 65,536 characters; what is over is left out and said.
COMMENT = 60_000
_ORDER = {"failed": 0, "errored": 1, "not_enough_support": 2, "missing": 3, "overridden": 4, "passed": 5}


@dataclass(frozen=True)
class Line:
    """The outcome of one gate; no verdict where there was nothing to judge."""

    asset: str
    partition: str
    gate: Gate
    verdict: Verdict | None
    missing: str = ""

    @property
    def status(self) -> str:
        """Status in words."""
        if self.verdict is None:
            return "missing"
        return "overridden" if self.verdict.override else self.verdict.status

    @property
    def blocks(self) -> bool:
        """Whether the command has to fail."""
        return self.gate.blocking and self.status not in ("passed", "overridden")

    @property
    def reason(self) -> str:
        """Why."""
        return self.missing if self.verdict is None else self.verdict.reason

    @property
    def observed(self) -> float | None:
        """The measured value."""
        return self.verdict.observed if self.verdict else None


@dataclass(frozen=True)
class Changed:
    """A gate that is declared otherwise than when the champion was registered; no change where that is not known."""

    model: str
    version: int
    change: Change | None
    #: Who accepted it, and why.
    accepted: str = ""
    unknown: str = ""

    @property
    def text(self) -> str:
        """The change in a line."""
        if self.change is None:
            return f"{self.model}: what became of its gates is not known: {self.unknown}"
        accepted = f" (accepted by {self.accepted})" if self.accepted else ""
        against = f"against {self.model} version {self.version}"
        return f"{self.change.gate} of {self.change.asset} {self.change.text}, {against}{accepted}"

    @property
    def plain(self) -> dict[str, Any]:
        """A record beside those of gates, which blocks nothing by itself."""
        return {
            "asset": self.change.asset if self.change else self.model,
            "partition": "",
            "gate": self.change.gate if self.change else "",
            "status": self.change.direction if self.change else "unknown",
            "blocking": False,
            "observed": None,
            "threshold": self.change.after if self.change else "",
            "reason": self.text,
            "subject": None,
        }


def plain(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """One record per gate and partition."""
    return [
        {
            "asset": line.asset,
            "partition": line.partition,
            "gate": line.gate.name,
            "status": line.status,
            "blocking": line.gate.blocking,
            "observed": line.observed,
            "threshold": line.gate.threshold,
            "reason": line.reason,
            "subject": line.verdict.subject if line.verdict else None,
        }
        for line in lines
    ]


def junit(lines: Sequence[Line]) -> bytes:
    """A JUnit report: what a gate measured and refused is a failure, what could not be judged an error.

    A warning or an override is a case that passed, with its words in ``system-out``.
    """
    failed = [line for line in lines if line.blocks and line.status == "failed"]
    errors = [line for line in lines if line.blocks and line.status != "failed"]
    suite = ElementTree.Element(
        "testsuite",
        name="ml-platform gates",
        tests=str(len(lines)),
        failures=str(len(failed)),
        errors=str(len(errors)),
        skipped="0",
    )
    for line in lines:
        case = ElementTree.SubElement(
            suite, "testcase", classname=line.asset.replace("/", "."), name=f"{line.gate.name}[{line.partition or '-'}]"
        )
        if line.blocks:
            found = ElementTree.SubElement(
                case,
                "failure" if line.status == "failed" else "error",
                message=printable(f"{line.status}: {line.reason}"),
                type=line.status,
            )
            found.text = f"threshold: {line.gate.threshold}"
        elif line.status != "passed":
            noted = ElementTree.SubElement(case, "system-out")
            noted.text = printable(f"{line.status}: {line.reason}")
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    return ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)


def markdown(lines: Sequence[Line], title: str = "Gates", changed: Sequence[Changed] = ()) -> str:
    """A comment for a pull request: what holds back first, gates that changed, what passed folded.

    Reasons stand as text, whatever is in them; columns marked ``pii`` are masked in every verdict already.
    """
    blocking = [line for line in lines if line.blocks]
    others = [line for line in lines if not line.blocks and line.status != "passed"]
    passed = [line for line in lines if line.status == "passed"]
    counts = f"{len(passed)} passed, {len(others)} warned or overridden, {len(blocking)} blocking"
    parts = [f"## {title}: {'failed' if blocking else 'passed'}", f"{len(lines)} gates: {counts}."]
    for name, some in (("Blocking", blocking), ("Warnings and overrides", others)):
        if some:
            parts += [f"### {name}", _table(sorted(some, key=lambda line: _ORDER[line.status]))]
    if changed:
        parts += ["### Gates that changed since the champion was registered", _changes(changed)]
    if passed:
        folded = f"<details><summary>{len(passed)} gates passed</summary>\n\n{_table(passed)}\n\n</details>"
        if sum(map(len, parts)) + len(folded) > COMMENT:
            folded = f"{len(passed)} gates passed; their table is too long for a comment."
        parts.append(folded)
    text = "\n\n".join(parts) + "\n"
    return text if len(text) <= COMMENT else text[:COMMENT].rpartition("\n")[0] + "\n\nThe rest is left out.\n"


def _table(lines: Sequence[Line]) -> str:
    head = "| asset | partition | gate | status | observed | threshold | reason |\n|---|---|---|---|---:|---|---|"
    return "\n".join([head, *(_row(line) for line in lines)])


def _changes(changed: Sequence[Changed]) -> str:
    """What lets more pass first."""
    head = "| asset | gate | change | key | before | now | accepted by |\n|---|---|---|---|---|---|---|"
    known = [(one.change, one) for one in changed if one.change is not None]
    rows = [
        (change.asset, change.gate, change.direction, change.key, change.before, change.after, one.accepted)
        for change, one in sorted(known, key=lambda pair: not pair[0].looser)
    ]
    table = "\n".join([head, *(f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows)])
    rest = "\n".join(f"- {_text(one.text)}" for one in changed if one.change is None)
    return "\n\n".join(filter(None, [table if rows else "", rest]))


def warns(gate: Gate) -> str:
    """Behind the status of a gate that holds nothing back."""
    return "" if gate.blocking else " (warns)"


def _row(line: Line) -> str:
    observed = "" if line.observed is None else f"{line.observed:.4g}"
    status = line.status.replace("_", " ") + warns(line.gate)
    reason = line.reason if len(line.reason) <= REASON else line.reason[: REASON - 1] + "…"
    cells = (line.asset, line.partition, line.gate.name, status, observed, line.gate.threshold, reason)
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _text(cell: str) -> str:
    """Text that Markdown shows as it is: no markup, no link, no mention of people, no new row."""
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(printable(cell), quote=False))
    return escaped.replace("@", "@\u200b").replace("://", ":\u200b//")
