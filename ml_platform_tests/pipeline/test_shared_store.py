"""Two installations on one store: decisions travel with it, and a ledger that does not know them decides nothing."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from ml_platform.datasets import rollback
from ml_platform.datasets.publishing import publish, stage
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.ledger.chain import Broken
from ml_platform.ledger.kinds import PUBLICATION
from ml_platform.pipeline.published import name_of
from ml_platform.pipeline.rollback import roll_back, withdrawal
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.ledger.writing import HERE, RULES, verdict, write
from ml_platform_tests.shop_project import DATASET, JANUARY, declared

RUN = Run("run", HERE)


def installation(folder: Path, ledger: str) -> Workspace:
    """One of several on the same store; ``ledger``: which file."""
    return Workspace(Settings(local=folder, ledger_url=SecretStr(f"sqlite:///{folder / ledger}"), actor=ledger))


def published(workspace: Workspace, seed: int) -> str:
    """Publish a content as the platform does, whatever gates would say of it."""
    write(workspace.ledger, verdict(subject=f"{seed}" * 64, name=f"{DATASET}/batch/{JANUARY}"))
    common: dict[str, Any] = {"run_id": "run", "provenance": HERE}
    ref = stage(workspace.store, DATASET, JANUARY, pl.DataFrame({"row": [seed]}), **common)
    name = name_of(DATASET, JANUARY)
    workspace.ledger.decide(PUBLICATION, subject=ref.sha256, subject_name=name, body={"rows": 1}, **common)
    anchor = workspace.ledger.anchor()
    return publish(workspace.store, ref, ledger_head=anchor.head, metadata=anchor.facts, **common).sha256


@pytest.fixture
def spec() -> DatasetSpec:
    return declared().dataset(DATASET)


def test_a_ledger_that_is_not_shared_decides_nothing(tmp_path: Path, spec: DatasetSpec) -> None:
    ours, theirs = installation(tmp_path, "ours.db"), installation(tmp_path, "theirs.db")
    first, second = published(ours, 1), published(ours, 2)
    roll_back(ours, spec, JANUARY, RUN, reason="doubled", by="ann")
    head = ours.store.resolve("main")
    with pytest.raises(Broken, match="share its ledger: set ML_PLATFORM_LEDGER_URL") as error:
        roll_back(theirs, spec, JANUARY, RUN, reason="I know better", to=second)
    assert "\n" not in str(error.value)
    with pytest.raises(Broken, match="share its ledger"):
        theirs.ledger.require("1" * 64, [RULES], subject_name=f"{DATASET}/batch/{JANUARY}")
    assert ours.store.resolve("main") == head and theirs.ledger.entries() == []
    # Shared, it may.
    done = roll_back(installation(tmp_path, "ours.db"), spec, JANUARY, RUN, reason="it was right", to=second)
    assert (done.withdrawn, done.current) == (first, second)


def test_what_a_commit_withdrew_stays_withdrawn_for_a_ledger_that_does_not_know_it(
    tmp_path: Path, spec: DatasetSpec
) -> None:
    ours, fresh = installation(tmp_path, "ours.db"), installation(tmp_path, "fresh.db")
    first, second = published(ours, 1), published(ours, 2)
    assert withdrawal(fresh, DATASET, JANUARY, second) == ""
    roll_back(ours, spec, JANUARY, RUN, reason="doubled", by="ann")
    assert withdrawal(ours, DATASET, JANUARY, second) == "withdrawn by ann: doubled"
    assert withdrawal(fresh, DATASET, JANUARY, second) == "withdrawn by ann: doubled"
    assert withdrawal(fresh, DATASET, JANUARY, first) == withdrawal(fresh, DATASET, "2024-02-01", second) == ""
    roll_back(ours, spec, JANUARY, RUN, reason="it was right", to=second)
    assert withdrawal(fresh, DATASET, JANUARY, second) == ""
    assert withdrawal(fresh, DATASET, JANUARY, first) == "withdrawn by ours.db: it was right"
    # Commits of earlier releases do not say who.
    rollback.roll_back(
        ours.store, DATASET, JANUARY, "", run_id="r", ledger_head="h", provenance=HERE, reason="all wrong"
    )
    assert withdrawal(fresh, DATASET, JANUARY, second) == "withdrawn: all wrong"
