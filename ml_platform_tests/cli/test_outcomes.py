"""What ``check`` found, in the forms that others read."""

from typing import Any
from xml.etree import ElementTree

from ml_platform.cli.outcomes import COMMENT, Line, junit, markdown
from ml_platform.gates.catalogue import Gate
from ml_platform.gates.gate import Verdict

RULES = Gate(gate="rules", max=0)
WARNED = Gate(gate="duplicates", max=0, severity="warn")
HOSTILE = "<img src=x> | [link](http://bad) @everyone `code`\n## title \x00"


def line(status: Any, gate: Gate = RULES, reason: str = "because", override: str = "") -> Line:
    """A gate with a verdict, or without one."""
    if status == "missing":
        return Line("flights/batch", "2013-01-01", gate, None, reason)
    verdict = Verdict(
        gate=gate.name, stage="batch", subject="a" * 64, subject_name="x", status=status, blocking=gate.blocking,
        observed=0.25, threshold=gate.threshold, declaration=gate.declaration, reason=reason, override=override,
    )  # fmt: skip
    return Line("flights/batch", "2013-01-01", gate, verdict)


def test_a_measured_refusal_is_a_failure_and_everything_else_an_error() -> None:
    lines = [line("failed"), line("errored"), line("missing"), line("not_enough_support"), line("failed", WARNED)]
    suite = ElementTree.fromstring(junit([*lines, line("passed"), line("failed", override="ann until May")]))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("7", "1", "3")
    assert len(suite.findall("testcase/failure")) == 1 and len(suite.findall("testcase/error")) == 3


def test_what_holds_back_comes_first_and_what_passed_is_folded() -> None:
    text = markdown([line("passed"), line("failed", WARNED), line("missing"), line("failed")], "Gates of m")
    assert text.startswith("## Gates of m: failed\n\n4 gates: 1 passed, 1 warned or overridden, 2 blocking.")
    order = [text.index(part) for part in ("### Blocking", "| failed |", "missing", "### Warnings", "<details>")]
    assert order == sorted(order)
    assert markdown([line("passed")]).startswith("## Gates: passed")


def test_an_override_never_looks_like_a_pass() -> None:
    text = markdown([line("failed", override="ann until 2026-12-01: known")])
    assert "0 passed, 1 warned or overridden, 0 blocking" in text and "| overridden |" in text


def test_reasons_stand_as_text() -> None:
    text = markdown([line("failed", reason=HOSTILE)])
    [row] = [row for row in text.splitlines() if "2013-01-01" in row]
    cells = row.replace(r"\|", "").strip("|").split("|")
    assert len(cells) == 7
    for markup in ("<img", "](", "`code`", "@everyone", "http://"):
        assert markup not in row.replace("\\[", "").replace("\\]", "")
    assert "\x00" not in text


def test_a_comment_is_never_too_long() -> None:
    many = markdown([line("passed", reason="x" * 250)] * 2000)
    assert len(many) <= COMMENT + 100 and "too long for a comment" in many
    bad = markdown([line("failed", reason="x" * 250)] * 2000)
    assert len(bad) <= COMMENT + 100 and bad.endswith("The rest is left out.\n")
