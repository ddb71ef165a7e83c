"""Small models of synthetic months, trained into a tracking store and registered."""

from typing import Any

from ml_platform.foundation.provenance import Provenance
from ml_platform.ledger.chain import GENESIS
from ml_platform.pipeline.mlflow_training import train_and_log
from ml_platform.references.refs import ModelRef, SplitRef, VersionRef
from ml_platform.registry.registry import Registry
from ml_platform.registry.tracking import Tracking
from ml_platform.training.xgboost import XGBoostParameters
from ml_platform_tests.training.synthetic import NAMES, PROVENANCE, frames, split_ref

PARAMETERS = XGBoostParameters(rounds=5)


def fit(
    tracking: Tracking,
    split: SplitRef,
    key: str,
    data: Any = None,
    run_id: str = "dagster-1",
    provenance: Provenance = PROVENANCE,
) -> ModelRef:
    """Train on a split, or on other frames, under a training key."""
    return train_and_log(
        tracking,
        split,
        lambda: iter(frames(split.train) if data is None else data),
        NAMES,
        "late",
        "binary",
        PARAMETERS,
        run_id=run_id,
        training_key=key,
        provenance=provenance,
        extra_tags={"dagster.run_id": run_id},
        threads=1,
    )


def trained(registry: Registry, model: str, seed: int = 0) -> ModelRef:
    """A model of that name; another seed is another model."""
    split = split_ref(range(1, 4), model=model)
    return train_and_log(
        *(registry.tracking, split, lambda: iter(frames(split.train)), NAMES, "late", "binary"),
        XGBoostParameters(rounds=2, subsample=0.5, seed=seed),
        run_id="dagster-1",
        training_key=f"{model}-{seed}",
        provenance=PROVENANCE,
        threads=1,
    )


def registered(registry: Registry, reference: ModelRef, approval: str = "pending") -> VersionRef:
    """Its version in the registry."""
    return registry.register(
        reference,
        approval=approval,  # type: ignore[arg-type]
        ledger_head=GENESIS,
        tags={"team": "flights"},
        card_markdown="# A card",
    )
