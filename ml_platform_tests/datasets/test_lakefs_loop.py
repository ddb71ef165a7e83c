"""The loop on lakeFS: the same content hashes and the same model as on the embedded store."""

from pathlib import Path

import pytest

from ml_platform_tests.project import APRIL, FEBRUARY, JANUARY, MARCH, MODEL, Project, new_project, sample_months

pytestmark = pytest.mark.slow


def contents(project: Project) -> dict[str, str]:
    """sha256 of every object on every branch, of the split and of the model."""
    with project.active() as workspace:
        store = workspace.store
        found = {f"{branch} {info.path}": info.sha256 for branch in store.branches() for info in store.list(branch)}
        assert workspace.ledger.verify() > 0
        assert sorted(store.tags()) == sorted(
            f"flights-{month}-{sha256[:12]}" for month, sha256 in project.published().items()
        )
    return {**found, **{part: project.reference(f"{MODEL}/{part}").sha256 for part in ("split", "model")}}


def test_switching_the_store_changes_no_content(tmp_path: Path, on_lakefs: dict[str, str]) -> None:
    originals = sample_months(tmp_path / "flights")
    held = []
    for name, environment in (("embedded", {}), ("lakefs", on_lakefs)):
        project = new_project(
            tmp_path / name, originals, arrived=(JANUARY, FEBRUARY, MARCH, APRIL), environment=environment
        )
        assert not (outcome := project.ingest(JANUARY, APRIL)).errors, outcome.error
        trained = project.train()
        assert (MODEL + "/model", None) in trained.materialized, trained.error
        held.append(contents(project))
        before = project.holdings()
        assert project.ingest(JANUARY, APRIL).success
        assert project.holdings().commits == before.commits, "a repeated run commits nothing"
    assert held[0] == held[1]
    assert sum(name.startswith("main ") for name in held[0]) == 4
