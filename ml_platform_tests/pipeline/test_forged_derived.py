"""Features, daily tables and scores lie where whoever writes to the store can put others: those are made again."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ml_platform.datasets.derived import commit_objects
from ml_platform.features.materialize import BRANCH, Stale
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import DERIVATION
from ml_platform.ledger.ledger import Ledger
from ml_platform.pipeline import data, recorded_derivations, scores, training
from ml_platform.pipeline.backlog import pending_partitions
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.pipeline.served import answering
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    APRIL,
    DATASET,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MODEL,
    MONTHS,
    copy_of,
    declared,
)

SCORES = f"{MODEL}/scores"
Change = Callable[[pl.DataFrame], pl.DataFrame]


def feature_path(month: str) -> str:
    return f"features/{FEATURES}/{month}.parquet"


def history_path(month: str) -> str:
    return f"features/{FEATURES}/history/{month}.parquet"


def state_path(month: str) -> str:
    return f"features/{FEATURES}/state/{month}.parquet"


def forge(workspace: Workspace, branch: str, path: str, folder: Path, change: Change, **labels: str) -> str:
    """Put other content at a path of a branch, as who writes to the store can: what is said of it stays; its hash."""
    store = workspace.store
    info = store.stat(branch, path)
    file = folder / "forged.parquet"
    change(pl.read_parquet(store.local_path(store.resolve(branch), path))).write_parquet(file)
    said = {path: {**info.metadata, **labels}}
    put = commit_objects(store, branch, {path: file}, run_id="x", message="Features", objects=said)
    assert put[path][0] != info.sha256
    return put[path][0]


def other_labels(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns((1 - pl.col("returned")).cast(frame["returned"].dtype).alias("returned"))


def other_sums(frame: pl.DataFrame) -> pl.DataFrame:
    names = [name for name, kind in frame.schema.items() if kind == pl.Int64]
    assert names
    return frame.with_columns(pl.col(name) * 3 + 1 for name in names)


def other_totals(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("^total_.*$") * 3 + 1)


def other_predictions(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(1 - pl.col("prediction"))


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    return copy_of(four_months, tmp_path / "project")


def featurized(project: Project, workspace: Workspace, *months: str) -> dict[str, str]:
    """Content of the features of these months, made or adopted by the step."""
    context = project.context()
    refs = {month: workspace.references.load(f"{DATASET}/dataset", month) for month in months}
    made = data.featurize(workspace, context.feature_set, context.dataset, refs, Run.new())
    return {month: ref.sha256 for month, ref in made.items()}


def test_forged_features_are_neither_adopted_nor_judged_nor_trained_on(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        context, run, before = project.context(), Run.new(), len(project.entries())
        honest = {month: workspace.references.load(FEATURES, month) for month in MONTHS[:4]}
        forged = forge(workspace, BRANCH, feature_path(MARCH), tmp_path, other_labels)
        edited = honest[MARCH].model_copy(update={"sha256": forged, "commit": workspace.store.resolve(BRANCH)})
        workspace.references.save(FEATURES, MARCH, edited)
        for act in (
            lambda: data.inspect_features(workspace, context.feature_set, context.dataset, edited, run),
            lambda: training.split(workspace, context, {**honest, MARCH: edited}, run),
        ):
            with pytest.raises(Stale, match=f"^{FEATURES}/{MARCH}: the ledger names no [^\n]*materialize [^\n]*$"):
                act()
        spec, offered = context.dataset, dict.fromkeys(MONTHS[:4], "same")
        (waits,) = pending_partitions(workspace, spec, [context.feature_set], offered, offered)
        assert (waits.partition, waits.reason) == (MARCH, "with stale features")
        assert featurized(project, workspace, MARCH) == {MARCH: honest[MARCH].sha256}
        assert workspace.store.stat(BRANCH, feature_path(MARCH)).sha256 == honest[MARCH].sha256
        # What the ledger names already it does not name again.
        assert len(project.entries()) == before


def test_features_of_other_code_do_not_pass_for_those_of_now(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        (now,) = featurized(project, workspace, MARCH).values()
        other = project.variant(declared(features={"history_lag": 9}))
    with other.active() as workspace:
        (then,) = featurized(other, workspace, MARCH).values()
        key = workspace.store.stat(BRANCH, feature_path(MARCH)).metadata["key"]
    assert then != now
    with project.active() as workspace:
        assert featurized(project, workspace, MARCH) == {MARCH: now}
    with other.active() as workspace:
        # Both contents were made here; this one was not made under this key.
        info = workspace.store.stat(BRANCH, feature_path(MARCH))
        assert info.sha256 == now and info.metadata["key"] != key
        store, path = workspace.store, feature_path(MARCH)
        file = store.local_path(store.resolve(BRANCH), path)
        commit_objects(
            store, BRANCH, {path: file}, run_id="x", message="Features", objects={path: {**info.metadata, "key": key}}
        )
        assert featurized(other, workspace, MARCH) == {MARCH: then}


def test_forged_daily_tables_are_made_again_from_what_is_published(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        context, before = project.context(), len(project.entries())
        honest = workspace.references.load(FEATURES, MARCH).sha256
        table = workspace.store.stat(BRANCH, history_path(JANUARY)).sha256
        forge(workspace, BRANCH, history_path(JANUARY), tmp_path, other_sums)
        # So that March is built again, from the state after January and the table of February.
        for path in (feature_path(MARCH), state_path(FEBRUARY)):
            forge(workspace, BRANCH, path, tmp_path, lambda frame: frame.reverse(), key="x")
        history = materializer_of(workspace, context.feature_set, context.dataset).declared_history([JANUARY])
        assert featurized(project, workspace, MARCH) == {MARCH: honest}
        assert featurized(project, workspace, JANUARY)
        assert workspace.store.stat(BRANCH, history_path(JANUARY)).sha256 == table
        kept = pl.read_parquet(workspace.store.local_path(workspace.store.resolve(BRANCH), history_path(JANUARY)))
        assert history.tables[0].equals(kept)
        assert len(project.entries()) == before


@pytest.mark.parametrize("forged", [[FEBRUARY], [JANUARY, FEBRUARY]])
def test_forged_states_are_not_gone_on_from(project: Project, tmp_path: Path, forged: list[str]) -> None:
    with project.active() as workspace:
        before = len(project.entries())
        honest = workspace.references.load(FEATURES, MARCH).sha256
        for month in forged:
            forge(workspace, BRANCH, state_path(month), tmp_path, other_totals)
        forge(workspace, BRANCH, feature_path(MARCH), tmp_path, other_labels, key="x")
        assert featurized(project, workspace, MARCH) == {MARCH: honest}
        assert len(project.entries()) == before


def test_what_was_made_here_is_named_once_and_adopted(project: Project) -> None:
    with project.active() as workspace:
        named = project.entries(kind=DERIVATION)
        assert sorted(entry.subject_name for entry in named) == sorted(
            f"{FEATURES}/{name}" for one in MONTHS[:4] for name in (one, f"history/{one}", f"state/{one}")
        )
        for entry in named:
            path = f"features/{entry.subject_name}.parquet"
            info = workspace.store.stat(BRANCH, path)
            assert (entry.subject, entry.body) == (info.sha256, dict(info.metadata))
        before, head = len(project.entries()), workspace.store.resolve(BRANCH)
        honest = {month: workspace.references.load(FEATURES, month).sha256 for month in MONTHS[:4]}
        assert featurized(project, workspace, *MONTHS[:4]) == honest
        assert (len(project.entries()), workspace.store.resolve(BRANCH)) == (before, head)


def upgraded(workspace: Workspace, folder: Path, unjudged: str = "") -> Workspace:
    """The same after an earlier release: in its ledger, which is a new one without anchors, nothing derived is named.

    Nothing has the name ``unjudged`` there.
    """
    ledger = Ledger(f"sqlite:///{folder}")
    for one in workspace.ledger.entries():
        if one.kind != DERIVATION and one.subject_name != unjudged:
            said = [(one.kind, one.subject, one.subject_name, one.gate, one.body)]
            ledger._append(said, run_id=one.run_id, provenance=one.provenance)  # pyright: ignore[reportPrivateUsage]
    return workspace.with_(ledger=ledger)


def test_what_an_earlier_release_judged_is_adopted_and_named_once(project: Project, tmp_path: Path) -> None:
    with project.active() as now:
        workspace = upgraded(now, tmp_path / "early.db", unjudged=f"{FEATURES}/{APRIL}")
        honest = {month: workspace.references.load(FEATURES, month) for month in MONTHS[:4]}
        materializer = materializer_of(workspace, project.context().feature_set, project.context().dataset)
        materializer.check_current(honest[MARCH])
        with pytest.raises(Stale, match="the ledger names no making"):
            materializer.check_current(honest[APRIL])
        info, name = workspace.store.stat(BRANCH, feature_path(MARCH)), f"{FEATURES}/{MARCH}"
        for inputs, known in ((honest[MARCH].inputs, True), (honest[APRIL].inputs, False)):
            assert recorded_derivations.of(workspace, [name]).known(name, info, inputs) is known
        assert not workspace.ledger.entries(kind=DERIVATION)
        head = workspace.store.resolve(BRANCH)
        # Their daily tables, and what has no verdict, are made again, and are the same.
        for _ in range(2):
            contents = {month: ref.sha256 for month, ref in honest.items()}
            assert featurized(project, workspace, *MONTHS[:4]) == contents
            assert workspace.store.resolve(BRANCH) == head
            # And the state after the one that was built.
            assert len(workspace.ledger.entries(kind=DERIVATION)) == 2 * len(contents) + 1


def test_what_an_earlier_release_did_not_judge_is_not_believed(project: Project, tmp_path: Path) -> None:
    with project.active() as now:
        workspace = upgraded(now, tmp_path / "early.db")
        honest = workspace.references.load(FEATURES, MARCH).sha256
        forge(workspace, BRANCH, feature_path(MARCH), tmp_path, other_labels)
        forge(workspace, BRANCH, history_path(MARCH), tmp_path, other_sums)
        assert featurized(project, workspace, MARCH) == {MARCH: honest}


@pytest.fixture(scope="module")
def answered(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a project whose version 1 is what answers."""
    return answering(tmp_path_factory.getbasetemp(), with_models)


@pytest.mark.parametrize("early", [False, True], ids=["named", "of an earlier release"])
def test_forged_scores_are_made_again_and_not_vouched_for(answered: Path, tmp_path: Path, early: bool) -> None:
    project = copy_of(answered, tmp_path / "project")
    with project.active() as now:
        workspace, context, run = now, project.context(), Run.new()
        features, path = workspace.references.load(FEATURES, APRIL), scores.path_of(MODEL, APRIL)
        honest = scores.score(workspace, context, features, run)
        workspace.references.save(SCORES, APRIL, honest)
        if early:
            workspace = upgraded(now, tmp_path / "early.db")
        before = len(workspace.ledger.entries())
        again = scores.score(workspace, context, features, run)
        assert (again.sha256, again.commit) == (honest.sha256, honest.commit)
        assert scores.at(workspace, MODEL, APRIL)["sha256"] == honest.sha256
        # An earlier release named none: the verdict on exactly this content stands for it, once.
        assert len(workspace.ledger.entries()) == before + early
        if early:
            workspace = upgraded(now, tmp_path / "again.db")
        forged = forge(workspace, scores.BRANCH, path, tmp_path, other_predictions)
        edited = honest.model_copy(update={"sha256": forged, "commit": workspace.store.resolve(scores.BRANCH)})
        workspace.references.save(SCORES, APRIL, edited)
        with pytest.raises(PlatformError, match=rf"^{SCORES}/{APRIL} [^\n]*the ledger names no [^\n]*$"):
            scores.at(workspace, MODEL, APRIL)
        assert scores.score(workspace, context, features, run).sha256 == honest.sha256
        assert workspace.store.stat(scores.BRANCH, path).sha256 == honest.sha256
