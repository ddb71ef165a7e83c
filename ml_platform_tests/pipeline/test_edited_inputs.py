"""References to features and splits are files: an edited one is named, and made again instead of believed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ml_platform.features.materialize import Stale
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import data, training
from ml_platform.pipeline.backlog import pending_partitions
from ml_platform.references.refs import DatasetRef, SplitRef
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import APRIL, FEATURES, JANUARY, MARCH, MODEL, MONTHS, copy_of, declared

#: What the reference to the features of March is changed to, given that and the one to January's.
FEATURE_EDITS: dict[str, Callable[[DatasetRef, DatasetRef], DatasetRef]] = {
    "sha256": lambda march, january: march.model_copy(update={"sha256": january.sha256}),
    "rows": lambda march, _: march.model_copy(update={"rows": march.rows + 1}),
    "path": lambda march, january: march.model_copy(update={"path": january.path}),
    "content of another month": lambda march, january: march.model_copy(
        update={"sha256": january.sha256, "path": january.path, "rows": january.rows}
    ),
    "commit": lambda march, _: march.model_copy(update={"commit": "f" * len(march.commit)}),
}


@pytest.mark.parametrize("edit", FEATURE_EDITS.values(), ids=FEATURE_EDITS.keys())
def test_an_edited_reference_to_features_is_computed_again(
    four_months: Path, tmp_path: Path, edit: Callable[[DatasetRef, DatasetRef], DatasetRef]
) -> None:
    project = copy_of(four_months, tmp_path / "project")
    with project.active() as workspace:
        context, run = project.context(), Run.new()
        features = {month: workspace.references.load(FEATURES, month) for month in MONTHS[:4]}
        edited = edit(features[MARCH], features[JANUARY])
        workspace.references.save(FEATURES, MARCH, edited)
        before = len(project.entries())
        for act in (
            lambda: training.split(workspace, context, {**features, MARCH: edited}, run),
            lambda: data.inspect_features(workspace, context.feature_set, context.dataset, edited, run),
        ):
            with pytest.raises(Stale, match=f"^{FEATURES}/{MARCH}: [^\n]*materialize {FEATURES} again for {MARCH}$"):
                act()
        assert len(project.entries()) == before
        spec, offered = context.dataset, dict.fromkeys(MONTHS[:4], "same")
        (waits,) = pending_partitions(workspace, spec, [context.feature_set], offered, offered)
        assert (waits.partition, waits.reason) == (MARCH, "with stale features")
    assert project.materialize(FEATURES, partition=MARCH).success
    with project.active() as workspace:
        assert workspace.references.load(FEATURES, MARCH).sha256 == features[MARCH].sha256


def crafted(split: SplitRef) -> SplitRef:
    """The same months without the first of the training."""
    return split.model_copy(update={"train": split.train[1:]})


def test_a_split_that_an_editor_made_up_is_neither_judged_nor_trained_on(with_models: Path, tmp_path: Path) -> None:
    project: Project = copy_of(with_models, tmp_path / "project", declared())
    with project.active() as workspace:
        context, run, before = project.context(), Run.new(), len(project.entries())
        honest = workspace.references.load(f"{MODEL}/split")
        assert honest.holdout[-1].partition == APRIL
        workspace.references.save(f"{MODEL}/split", "", crafted(honest))
        said = "the ledger names no split of these partitions and contents"
        with pytest.raises(PlatformError, match=said) as error:
            training.inspect_split(workspace, context, crafted(honest), run)
        assert "\n" not in str(error.value)
        with pytest.raises(Refused, match="is refused by its gates"):
            training.fit(workspace, context, crafted(honest), run)
        assert len(project.entries()) == before
    checked = project.materialize(checks=[f"{MODEL}/split/{gate}" for gate in ("disjoint", "time_order")])
    assert said in checked.error
    assert project.materialize(f"{MODEL}/split", checks=None).success
    with project.active() as workspace:
        assert workspace.references.load(f"{MODEL}/split").sha256 == honest.sha256
