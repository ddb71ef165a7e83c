"""What is left to do is asked at once, however many partitions there are."""

from pathlib import Path
from typing import Any

import pytest

from ml_platform.ledger.ledger import Ledger
from ml_platform.pipeline.backlog import pending_partitions
from ml_platform_tests.shop_project import FEATURES, MONTHS, copy_of


def test_the_ledger_is_asked_as_often_for_four_months_as_for_one(
    four_months: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = Ledger.judged

    def counted(self: Ledger, subjects: Any, gates: Any = ()) -> Any:
        asked.append(len(subjects))
        return real(self, subjects, gates)

    project = copy_of(four_months, tmp_path / "project")
    with project.active() as workspace:
        context = project.context()
        found: dict[int, list[int]] = {}
        monkeypatch.setattr(Ledger, "judged", counted)
        for count in (1, 4):
            asked.clear()
            offered = dict.fromkeys(MONTHS[:count], "1")
            assert not pending_partitions(workspace, context.dataset, [context.feature_set], offered, offered)
            found[count] = [*asked]
        assert len(found[1]) == len(found[4])
        # Features that nobody judged, and those that are not there, are still found, each by itself.
        workspace.references.forget(FEATURES, MONTHS[1])
        pending = pending_partitions(workspace, context.dataset, [context.feature_set], offered, offered)
        assert [(one.partition, one.reason) for one in pending] == [(MONTHS[1], "without features")]
