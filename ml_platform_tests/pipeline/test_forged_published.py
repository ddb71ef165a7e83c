"""What lies on ``main`` counts as published where the ledger says so, whatever a commit says of itself."""

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pygit2
import pytest

from ml_platform.datasets.batches import batch_path, batch_tag
from ml_platform.datasets.history import publications
from ml_platform.datasets.store import MAIN
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.parquet import write_frame
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.ledger import Ledger
from ml_platform.models.task import task_of
from ml_platform.pipeline import data, snapshot, training
from ml_platform.pipeline.backlog import pending_partitions
from ml_platform.pipeline.labels import Labels
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.published import (
    known,
    mislabelled,
    published_batches,
    published_before,
    require_asked,
    strange,
)
from ml_platform.pipeline.rollback import roll_back, withdrawal
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import (
    APRIL,
    DATASET,
    FEATURES,
    FEBRUARY,
    JANUARY,
    MARCH,
    MAY,
    MONTHS,
    copy_of,
    declared,
)

Change = Callable[[pl.DataFrame], pl.DataFrame]
CORRECTION = declared(
    dataset={
        "gates": [
            {"gate": "schema"},
            {"gate": "volume", "min": 0.2, "max": 5},
            {"gate": "correction", "max": 0.05},
        ]
    }
)


@pytest.fixture
def project(four_months: Path, tmp_path: Path) -> Project:
    return copy_of(four_months, tmp_path / "project")


def dearer(frame: pl.DataFrame) -> pl.DataFrame:
    name = next(name for name, kind in frame.schema.items() if kind.is_float())
    return frame.with_columns(pl.col(name) * 3 + 1)


def merged(workspace: Workspace, month: str, file: Path | None, sha256: str, rows: int) -> str:
    """What who holds the store merges: all that a commit of the platform says, and a head that the ledger has."""
    store, path = workspace.store, batch_path(DATASET, month)
    newest = next(iter(store.log(MAIN)))
    said = {**newest.metadata, "partition": month, "sha256": sha256, "rows": str(rows)}
    store.create_branch("work", newest.id)
    labels = {path: {"rows": str(rows)}} if file else {}
    store.commit("work", {path: file}, f"Publish {DATASET}/{month}", objects=labels)
    commit = store.merge("work", MAIN, f"Publish {DATASET}/{month}", said)
    store.delete_branch("work")
    if file is not None:
        store.tag(batch_tag(DATASET, month, sha256), commit)
    return commit


def forged(workspace: Workspace, month: str, folder: Path, change: Change = dearer, origin: str = "") -> str:
    """Put other rows on ``main`` as if they had been published; returns their content."""
    store, path = workspace.store, batch_path(DATASET, origin or month)
    frame = change(pl.read_parquet(store.local_path(store.resolve(MAIN), path)))
    file = folder / f"{month}.parquet"
    sha256 = write_frame(frame, file)
    merged(workspace, month, file, sha256, frame.height)
    assert store.stat(MAIN, batch_path(DATASET, month)).sha256 == sha256
    return sha256


def test_content_that_the_ledger_does_not_know_is_named_and_read_by_nobody(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        context, run, honest = project.context(), Run.new(), project.published()
        spec, references = context.dataset, workspace.references
        require_asked(workspace, DATASET)
        fake = forged(workspace, MARCH, tmp_path)
        assert published_batches(workspace, DATASET).keys() == {JANUARY, FEBRUARY, APRIL}
        materializer = materializer_of(workspace, context.feature_set, spec)
        assert materializer.published_partitions() == [JANUARY, FEBRUARY, APRIL]
        assert Labels(workspace, context, task_of(context.model.task), ()).published.keys() == {
            JANUARY,
            FEBRUARY,
            APRIL,
        }
        assert MARCH not in snapshot.about(workspace, context)["contents"]
        assert MARCH not in data.compared_with(workspace, spec, references.load(f"{DATASET}/dataset", APRIL))
        (found,) = strange(workspace)
        assert (found.partition, found.sha256, found.published) == (MARCH, fake, honest[MARCH])
        assert "without an entry in the ledger" in found.what
        refs = {month: references.load(f"{DATASET}/dataset", month) for month in MONTHS[:4]}
        for act in (
            lambda: data.featurize(workspace, context.feature_set, spec, refs, run),
            lambda: training.split(workspace, context, references.all(FEATURES), run),
        ):
            with pytest.raises(PlatformError, match=f"^[^\n]*{fake[:12]}[^\n]*ledger[^\n]*data rollback[^\n]*$"):
                act()
        with pytest.raises(PlatformError, match="no content that starts"):
            roll_back(workspace, spec, MARCH, run, reason="x", to=fake[:12])
        offered = dict.fromkeys(MONTHS[:4], "same")
        waits = {
            one.partition: one.reason
            for one in pending_partitions(workspace, spec, [context.feature_set], offered, offered)
        }
        assert waits.pop(MARCH) == "not judged by the gates as declared" and waits.keys() == {APRIL}
        done = roll_back(workspace, spec, MARCH, run, reason="came in by hand")
        assert (done.withdrawn, done.current) == ("", honest[MARCH])
        assert project.published() == honest and strange(workspace) == []
        require_asked(workspace, DATASET)


def test_a_delivery_takes_the_place_of_what_nobody_published(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        honest = project.published()
        forged(workspace, MARCH, tmp_path)
    assert project.ingest(MARCH).success
    assert project.published() == honest
    with project.active() as workspace:
        assert strange(workspace) == []


def test_a_first_content_that_nobody_published_is_no_yardstick(four_months: Path, tmp_path: Path) -> None:
    project = copy_of(four_months, tmp_path / "project", CORRECTION)
    with project.active() as workspace:
        forged(workspace, MAY, tmp_path, origin=APRIL)
    project.batches.deliver(MAY)
    outcome = project.ingest(MAY)
    assert outcome.success, outcome.error
    with project.active() as workspace:
        verdict = workspace.ledger.judgement(f"{DATASET}/batch/{MAY}", project.published()[MAY])["correction"]
        assert (verdict.status, verdict.compared) == ("passed", {}), verdict


def test_a_withdrawal_that_nobody_decided_is_named(project: Project) -> None:
    with project.active() as workspace:
        spec, honest = project.context().dataset, project.published()
        merged(workspace, FEBRUARY, None, "", 0)
        (found,) = strange(workspace)
        assert (found.partition, found.sha256, found.published) == (FEBRUARY, None, honest[FEBRUARY])
        with pytest.raises(PlatformError, match=f"{honest[FEBRUARY][:12]} was taken out .* without an entry"):
            require_asked(workspace, DATASET)
        roll_back(workspace, spec, FEBRUARY, Run.new(), reason="nobody wanted that")
        assert project.published() == honest and strange(workspace) == []


def test_an_earlier_withdrawal_vouches_for_no_later_one(project: Project) -> None:
    """The ledger knows that February was taken out once: published again, another commit cannot refer to that."""
    with project.active() as workspace:
        spec, honest = project.context().dataset, project.published()
        roll_back(workspace, spec, FEBRUARY, Run.new(), reason="doubled", withdraw=True)
        assert strange(workspace) == []
        roll_back(workspace, spec, FEBRUARY, Run.new(), reason="it was sound", to=honest[FEBRUARY])
        assert project.published() == honest and strange(workspace) == []
        merged(workspace, FEBRUARY, None, "", 0)
        (found,) = strange(workspace)
        assert (found.partition, found.sha256, found.published) == (FEBRUARY, None, honest[FEBRUARY])
        with pytest.raises(PlatformError, match=r"was taken out .* without an entry"):
            require_asked(workspace, DATASET)


def without_publications(workspace: Workspace, folder: Path, *months: str) -> Workspace:
    """The same with a ledger that was restored from before these were published."""
    ledger = Ledger(f"sqlite:///{folder}")
    for one in workspace.ledger.entries():
        if one.subject_name.rpartition("/")[2] not in months:
            said = [(one.kind, one.subject, one.subject_name, one.gate, one.body)]
            ledger._append(said, run_id=one.run_id, provenance=one.provenance)  # pyright: ignore[reportPrivateUsage]
    return workspace.with_(ledger=ledger)


def test_what_a_restored_ledger_lacks_is_ingested_and_published_again(project: Project, tmp_path: Path) -> None:
    with project.active() as now:
        workspace = without_publications(now, tmp_path / "restored.db", MARCH, APRIL)
        spec, run, head = project.context().dataset, Run.new(), now.store.resolve(MAIN)
        assert [one.partition for one in strange(workspace)] == [MARCH, APRIL]
        for month in (MARCH, APRIL):
            ref = data.ingest(workspace, spec, month, run)
            data.audit(workspace, spec, ref, run)
            data.publish(workspace, spec, ref, run)
        assert strange(workspace) == [] and workspace.store.resolve(MAIN) == head
        require_asked(workspace, DATASET)


def test_a_withdrawal_that_a_restored_ledger_lacks_can_be_decided_again(project: Project, tmp_path: Path) -> None:
    with project.active() as now:
        spec, run, bad = project.context().dataset, Run.new(), project.published()[FEBRUARY]
        before = without_publications(now, tmp_path / "restored.db")
        roll_back(now, spec, FEBRUARY, run, reason="doubled", withdraw=True)
        assert strange(now) == [] and [one.partition for one in strange(before)] == [FEBRUARY]
        roll_back(before, spec, FEBRUARY, run, reason="as before", withdraw=True)
        assert strange(before) == []
        assert "doubled" in withdrawal(before, DATASET, FEBRUARY, bad)


def test_the_log_shows_what_the_ledger_knows(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        before = [one.commit for one in publications(workspace.store, DATASET, known=known(workspace))]
        forged(workspace, MARCH, tmp_path)
        assert [one.commit for one in publications(workspace.store, DATASET, known=known(workspace))] == before


def test_a_withdrawal_stays_in_the_log_after_its_month_came_back(project: Project) -> None:
    with project.active() as workspace:
        spec, run, honest = project.context().dataset, Run.new(), project.published()[FEBRUARY]

        def log() -> list[tuple[str, str]]:
            found = publications(workspace.store, DATASET, FEBRUARY, known=known(workspace))
            return [(one.sha256, one.reason) for one in found]

        before = log()
        roll_back(workspace, spec, FEBRUARY, run, reason="doubled", withdraw=True)
        assert log() == [("", "doubled"), *before]
        roll_back(workspace, spec, FEBRUARY, run, reason="it was sound", to=honest)
        assert log() == [(honest, "it was sound"), ("", "doubled"), *before]
        # Another tool takes it out, and no commit says that the platform did.
        workspace.store.create_branch("work", workspace.store.resolve(MAIN))
        workspace.store.commit("work", {batch_path(DATASET, FEBRUARY): None}, "tidy")
        workspace.store.merge("work", MAIN, "tidy", {})
        (found,) = strange(workspace)
        assert (found.published, found.claimed) == (honest, False) and len(log()) == len(before) + 2


def test_how_many_rows_were_published_is_for_the_ledger_to_say(project: Project, tmp_path: Path) -> None:
    with project.active() as workspace:
        store, path = workspace.store, batch_path(DATASET, MARCH)
        honest = int(published_batches(workspace, DATASET)[MARCH].metadata["rows"])
        assert mislabelled(workspace) == []
        file = tmp_path / "same.parquet"
        shutil.copyfile(store.local_path(store.resolve(MAIN), path), file)
        held = store.stat(MAIN, path)
        store.create_branch("work", store.resolve(MAIN))
        other = {path: {**held.metadata, "rows": str(honest * 3), "new_columns": '["x"]'}}
        store.commit("work", {path: file}, "tidy", objects=other)
        store.merge("work", MAIN, "tidy", {})
        assert store.stat(MAIN, path).sha256 == held.sha256
        assert store.stat(MAIN, path).metadata["rows"] == str(honest * 3)
        assert int(published_batches(workspace, DATASET)[MARCH].metadata["rows"]) == honest
        ref = workspace.references.load(f"{DATASET}/dataset", APRIL)
        compared = data.compared_with(workspace, project.context().dataset, ref)
        assert int(compared[MARCH][1].metadata["rows"]) == honest
        (said,) = mislabelled(workspace)
        assert f"rows '{honest}' became '{honest * 3}'" in said and "\n" not in said
        assert mislabelled(workspace, "another") == []


def test_a_yardstick_follows_the_ledger_and_not_the_history_of_main(four_months: Path, tmp_path: Path) -> None:
    """Who writes the history of ``main`` anew, without the first publication, moves nothing."""
    project = copy_of(four_months, tmp_path / "project", CORRECTION)
    first = project.published()[APRIL]
    with project.active() as workspace:
        sha256 = "f" * 64
        workspace.ledger.decide(
            "publication",
            subject=sha256,
            subject_name=f"{DATASET}/dataset/{APRIL}",
            body={"rows": 1},
            run_id="x",
            provenance=Run.new().provenance,
        )
        assert published_before(workspace, DATASET, APRIL, "0" * 64) == [first, sha256]
        repository = pygit2.Repository(str(next((workspace.settings.local / "store").rglob("meta.git"))))
        tip, empty = repository.references["refs/heads/main"].target, repository.TreeBuilder().write()
        author = repository[tip].author
        new = repository.create_commit(None, author, author, "Housekeeping\n\nMetadata: {}\n", empty, [])
        repository.references.create("refs/heads/main", new, force=True)
    with project.active() as workspace:
        assert [*publications(workspace.store, DATASET, APRIL, known=known(workspace))] == []
        assert published_before(workspace, DATASET, APRIL, "0" * 64) == [first, sha256]
        assert published_before(workspace, DATASET, APRIL, sha256) == [first]
