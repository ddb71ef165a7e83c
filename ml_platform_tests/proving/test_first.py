"""Thresholds for a new model on a small project: from its last windows, or a reason in one line."""

from pathlib import Path

import pytest

from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.errors import PlatformError
from ml_platform.proving.first import first_thresholds
from ml_platform.proving.suggest import Suggestion
from ml_platform_tests.shop_project import APRIL, MARCH, MAY, MODEL, MONTHS, gates, new_project
from ml_platform_tests.shop_project import declared as shop


def found(folder: Path, arrived: tuple[str, ...], catalogue: Catalogue) -> dict[str, Suggestion]:
    """Suggestions by gate for the shop's model; nothing but them is left."""
    project = new_project(folder / "project", catalogue, arrived=arrived)
    with project.active() as workspace:
        suggested, windows = first_thresholds(project.context(), workspace, folder / "scratch")
    assert [window.last for window in windows] == [MARCH, APRIL, MAY]
    assert not (project.folder / "local").exists()
    assert {one.owner for one in suggested} == {MODEL}
    return {one.declared.name: one for one in suggested}


def test_a_new_model_gets_thresholds_that_its_windows_keep(tmp_path: Path) -> None:
    """The labels can be learnt well enough for a limit above chance; too good a limit gives way to what was seen."""
    impossible = gates(performance={"min": 0.99}, leak_alarm={"max": 0.3})
    suggested = found(tmp_path, MONTHS, shop(models={MODEL: {"gates": impossible}}))
    auc = suggested["performance_auc"]
    assert list(auc.before) == [MARCH, APRIL, MAY] and auc.after == {}
    assert auc.proposed.min is not None and 0.5 < auc.proposed.min < min(auc.before.values())
    assert f"{auc.proposed.min:g}}}   # {min(auc.before.values()):.3g} to " in auc.line()
    leak = suggested["leak_alarm_auc"]
    assert leak.proposed.max is not None and max(leak.before.values()) < leak.proposed.max
    assert "2 of 3 values are too few" in suggested["champion_auc"].line()


@pytest.mark.slow
def test_windows_of_a_part_of_the_past_bound_nothing_from_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that learns from more months than the windows had may be better than all of them."""
    monkeypatch.setattr("ml_platform.proving.first.FEWEST", 2)
    catalogue = shop(models={MODEL: {"gates": gates(leak_alarm={"max": 0.3})}})
    project = new_project(tmp_path / "project", catalogue, arrived=MONTHS)
    with project.active() as workspace:
        suggested, windows = first_thresholds(project.context(), workspace, tmp_path / "scratch")
    assert [window.last for window in windows] == [APRIL, MAY]
    (leak,) = (one for one in suggested if one.declared.gate == "leak_alarm")
    assert leak.proposed == leak.declared and "a model of all rows may be better" in leak.line()


def test_too_few_partitions_train_nothing(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project", arrived=MONTHS[:3])
    with project.active() as workspace, pytest.raises(PlatformError, match="3 partitions at the source of purchases"):
        first_thresholds(project.context(), workspace, tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists()
