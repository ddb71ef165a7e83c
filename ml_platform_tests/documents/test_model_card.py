import pytest

from ml_platform.documents.model_card import render, with_approvals
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Verdict
from ml_platform_tests.evaluation.fitted import OLDER, SPLIT, fitted, measured

VERDICT = Verdict(
    gate="performance_auc",
    stage="evaluation",
    subject="0" * 64,
    subject_name="flight_delay/model",
    status="passed",
    blocking=True,
    observed=0.73,
    threshold="at least 0.7",
    declaration="d",
    reason="auc | 0.73\non the holdout",
)


def test_a_card_names_data_split_metrics_verdicts_and_approvals() -> None:
    reference = fitted(SPLIT).reference
    evaluation = measured(SPLIT, OLDER)[0]
    card = render(
        evaluation,
        reference,
        verdicts=[VERDICT],
        purpose="Will a flight be late?",
        limits="New York only.",
        approvals=[{"status": "approved", "by": "Ada", "reason": "fine", "at": "2013-07-01"}],
    )
    for expected in (
        "# flight_delay\n\nWill a flight be late?",
        reference.sha256,
        reference.manifest_sha256,
        "| 2013-01-01 | training | 1,500 | cccccccccccc |",
        "| 2013-06-01 | holdout |",
        "3,000 rows of 2013-05-01 to 2013-06-30",
        "| metric | model | base rate | logistic regression |",
        f"| auc | {evaluation.metrics['auc']:.4g} | 0.5 |",
        "| metric | model | champion | difference (95 % interval) |",
        "| performance_auc | passed | 0.73 | at least 0.7 | auc \\| 0.73 on the holdout |",
        "| by | groups with support | weakest | rows | auc (",
        "| carrier | 2 | UA | 1,139 | ",
        "| carrier | demographic parity difference | 0.01369 (",
        "New York only.",
        "| approved | Ada | fine | 2013-07-01 |",
    ):
        assert expected in card, expected


def test_approvals_are_replaced_and_nothing_else() -> None:
    reference, evaluation = fitted(SPLIT).reference, measured(SPLIT)[0]

    def card(*approvals: dict[str, str]) -> str:
        limits = "None.\n\n## Approvals\n\nAsk Ada."
        return render(evaluation, reference, verdicts=[VERDICT], purpose="", limits=limits, approvals=approvals)

    one = {"status": "pending", "by": "gates", "reason": "every | gate\npassed", "at": "2013-07-01"}
    two = {"status": "approved", "by": "Ada", "reason": "fine", "at": "2013-07-02"}
    assert with_approvals(card(), [one, two]) == card(one, two)
    assert with_approvals(card(one, two), [two]) == card(two)
    with pytest.raises(PlatformError, match="has no section"):
        with_approvals("# A card", [one])


def test_what_is_absent_is_said() -> None:
    card = render(measured(SPLIT)[0], fitted(SPLIT).reference, verdicts=[], purpose="", limits="")
    expected = ("No purpose is declared.", "No limits are declared.", "no champion", "## Verdicts\n\nNone.")
    for text in expected:
        assert text in card
