"""A model that its recorded commit does not give: the code that ran is another than the code that was committed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ml_platform.foundation.provenance import current
from ml_platform_tests.pipeline.repository import Repository
from ml_platform_tests.project import MODEL, Project, declared
from ml_platform_tests.sabotage.proof import Proof, assert_passed, assert_refuses, assert_stopped

GATES = [
    {"gate": "disjoint"},
    {"gate": "time_order"},
    {"gate": "performance", "metric": "auc", "min": 0.5},
    {"gate": "replay"},
]
REPLAYED = declared(models={MODEL: {"gates": GATES}})
CHAIN = [f"{MODEL}/{name}" for name in ("split", "model", "evaluation")]


def other_features(repository: Repository) -> None:
    """The commit turns the sign of every feature; the process that trains has imported them as they were."""
    repository.edit(
        "ml_platform/features/build.py", "pl.col(column).cast(pl.Float32)", "-pl.col(column).cast(pl.Float32)"
    )


def other_words(repository: Repository) -> None:
    """The same place in the code, and nothing but a docstring."""
    repository.edit("ml_platform/features/build.py", "From raw rows to features", "Features from raw rows")


PROOFS = {"replay": Proof(other_features, other_words)}


def trained(
    project_of: Callable[..., Project],
    change: Callable[[Repository], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    """A project whose code is committed with a change."""
    project = project_of(REPLAYED)
    repository = Repository(tmp_path / "repository")
    change(repository)
    repository.commit("change")
    monkeypatch.setenv("DAGSTER_HOME", str(repository.root))
    current.cache_clear()
    return project


@pytest.mark.slow
def test_a_model_of_other_code_than_the_commit_is_stopped(
    project_of: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trained(project_of, PROOFS["replay"].broken, tmp_path, monkeypatch)
    outcome = project.materialize(*CHAIN, checks=None)
    assert_stopped(outcome, "replay", CHAIN[2], allowed=tuple(CHAIN[:2]))
    assert_refuses(project, f"{MODEL}/registered_model", "replay")


@pytest.mark.slow
def test_a_model_of_the_committed_code_passes(
    project_of: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trained(project_of, PROOFS["replay"].clean, tmp_path, monkeypatch)
    assert_passed(project.materialize(*CHAIN, checks=None), CHAIN[2], None, 2)
