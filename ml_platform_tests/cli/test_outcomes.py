"""What ``check`` found, in the forms that others read."""

from typing import Any
from xml.etree import ElementTree

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ml_platform.cli.outcomes import COMMENT, REASON, Line, junit, markdown, plain
from ml_platform.foundation.words import printable
from ml_platform.gates.batch import BatchEvidence
from ml_platform.gates.every_kind import Gate
from ml_platform.gates.gate import Verdict, judge
from ml_platform_tests.shop_project import JANUARY

RULES = Gate(gate="rules", max=0)
WARNED = Gate(gate="duplicates", max=0, severity="warn")
HOSTILE = "<img src=x> | [link](http://bad) @everyone `code`\n## title \x00"


def line(status: Any, gate: Gate = RULES, reason: str = "because", override: str = "") -> Line:
    """A gate with a verdict, or without one."""
    if status == "missing":
        return Line("purchases/batch", "2024-01-01", gate, None, reason)
    verdict = Verdict(
        gate=gate.name, stage="batch", subject="a" * 64, subject_name="x", status=status, blocking=gate.blocking,
        observed=0.25, threshold=gate.threshold, declaration=gate.declaration, reason=reason, override=override,
    )  # fmt: skip
    return Line("purchases/batch", "2024-01-01", gate, verdict)


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
    [row] = [row for row in text.splitlines() if "2024-01-01" in row]
    cells = row.replace(r"\|", "").strip("|").split("|")
    assert len(cells) == 7
    for markup in ("<img", "](", "`code`", "@everyone", "http://"):
        assert markup not in row.replace("\\[", "").replace("\\]", "")
    assert "\x00" not in text


def cells(text: str) -> list[list[str]]:
    """The cells of the first table without its head, as GitHub shows them; markup in one of them is an error."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level >= 4:
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special"}, token.content
            rows[-1].append("".join(child.content for child in children))
    return rows[1:]


SPICY = st.text(st.one_of(st.sampled_from("|\\`*_[]<>&#@\n\r\t!~:/()-$"), st.characters()), max_size=REASON)


@given(reason=SPICY)
def test_any_reason_is_shown_as_it_is_in_one_row(reason: str) -> None:
    [row] = cells(markdown([line("failed", reason=reason)]))
    shown = printable(reason).strip()
    assert row[6].replace("@\u200b", "@").replace(":\u200b//", "://") == shown
    assert len(ElementTree.fromstring(junit([line("errored", reason=reason)])).findall(".//error")) == 1


def test_private_values_are_in_no_report() -> None:
    from grocery.defs.purchases.schema import Purchases
    from grocery.made_up import purchases

    month = purchases(JANUARY, 300)
    # The same customers twice, and values that break rules beside them.
    broken = pl.concat([month, month.head(5)]).with_columns(customer=pl.col("customer") + " of somebody", price=-1.0)
    evidence = BatchEvidence(lambda: broken, lambda: Purchases, ("customer", "line"), {})
    gates = [Gate(gate="schema"), Gate(gate="rules", max=0), Gate(gate="duplicates", max=0)]
    verdicts = judge(gates, evidence, subject="0" * 64, subject_name="purchases/batch")
    lines = [Line("purchases/batch", JANUARY, gate, verdict) for gate, verdict in zip(gates, verdicts, strict=True)]
    assert sum(one.blocks for one in lines) >= 2
    told = str(plain(lines)) + junit(lines).decode() + markdown(lines)
    assert not [name for name in month["customer"].unique() if name in told]


def test_a_comment_is_never_too_long() -> None:
    many = markdown([line("passed", reason="x" * 250)] * 2000)
    assert len(many) <= COMMENT + 100 and "too long for a comment" in many
    bad = markdown([line("failed", reason="x" * 250)] * 2000)
    assert len(bad) <= COMMENT + 100 and bad.endswith("The rest is left out.\n")
