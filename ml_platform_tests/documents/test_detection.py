"""The page of detection limits: every limit and what is missing, and equal bytes for equal numbers."""

from typing import Any

from ml_platform.documents import detection


def limit(error: str, dose: float | None, unit: str = "rows", **more: Any) -> dict[str, Any]:
    told = "" if dose is None else f"{dose:g}"
    return {
        "error": error, "column": "price <b>", "where": "", "unit": unit, "doses": (0.01, 0.1, 1.0), "dose": dose,
        "before_publication": dose is not None, "stage": "batch" if dose else "", "measured": True, "told": told,
        "told_below": "", "asked": "evaluation", "told_lost": "", "by": "missing (0 of 5)", **more,
    }  # fmt: skip


ABOUT = {
    "model": "returned",
    "dataset": "purchases",
    "partition": "2024-05-01",
    "partitions": ["2024-04-01", "2024-05-01"],
    "alarms": [{"gate": "missing", "threshold": "at most 0.2", "blocking": True, "first_alarms": 0, "second_alarms": 1,
                "first": 1, "second": 1}],
    "limits": [
        limit("values are missing", 0.1),
        limit("values are missing", None),
        limit("values are shifted", 1.0, "sd", before_publication=False, stage="evaluation"),
        limit("texts in another spelling", None, measured=False),
    ],
    "unmeasured": {"texts in another spelling": ["product"]},
    "elsewhere": ["observations are late"],
    "seconds": 12.3,
}  # fmt: skip


def test_the_page_has_every_limit_and_says_what_is_missing() -> None:
    page = detection.render(ABOUT)
    assert page == detection.render(ABOUT)
    assert page.count("price &lt;b&gt;") == 3 and "<b>" not in page
    assert "before publication (batch)" in page and "later (evaluation)" in page
    assert "by no gate asked (asked up to evaluation)" in page
    assert "texts in another spelling: product" in page and "observations are late" in page
    assert "1 of 2" in page


def test_a_panel_for_each_unit_and_none_without_limits() -> None:
    drawn = detection.figure(ABOUT["limits"][:3])
    assert "share of rows" in drawn and "standard deviations" in drawn and ">hours<" not in drawn
    assert detection.figure([]) == ""
