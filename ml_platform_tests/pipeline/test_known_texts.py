"""The texts that a service tells apart from those that training has not seen."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from ml_platform.features import parts
from ml_platform.pipeline import known_texts
from ml_platform.references.refs import ManifestEntry, Part
from ml_platform.serving import bundle
from ml_platform.serving.schema import RequestField, RequestSchema
from ml_platform_tests.pipeline.served import answering
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MODEL, copy_of


def test_a_package_knows_the_texts_of_its_training_and_no_others(
    with_models: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project: Project = copy_of(answering(tmp_path_factory.getbasetemp(), with_models), tmp_path / "project")
    ref = project.reference(f"{MODEL}/service")
    split = project.reference(f"{MODEL}/split")
    with project.active() as workspace:
        config, _ = bundle.read(workspace.settings.local / ref.path / bundle.SOURCE / bundle.FOLDER)
        store = workspace.store
        frames = [
            known_texts.read_batch(store, "purchases", one.partition, one.inputs[f"purchases/{one.partition}"])
            for one in split.train
        ]
    raw = pl.concat(frames)
    # Channel and depot are closed lists.
    assert config.known == {"product": tuple(sorted(raw["product"].unique()))}


def test_of_one_table_the_rows_count_that_are_not_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = pl.DataFrame({"customer": [f"c{n}" for n in range(40) for _ in range(10)]}).with_columns(
        town=pl.format("town of {}", "customer"), z=pl.int_range(pl.len())
    )
    # The column that divides is made by the feature function.
    features = raw.select(pl.col("customer").str.to_uppercase().alias("buyer"))
    part = Part(name="train", share=0.3, by=("buyer",), salt="m")
    entry = ManifestEntry(
        partition="all", sha256="f", commit="c", path="p", rows=400, first="", last="", inputs={"d/all": "b"}, part=part
    )

    def read(store: object, dataset: str, partition: str, content: str, columns: Any) -> pl.DataFrame:
        assert (dataset, partition, content) == ("d", "all", "b")
        return raw.select(columns)

    def frames(store: object, entries: tuple[ManifestEntry, ...]) -> list[pl.DataFrame]:
        assert [one.part for one in entries] == [None]
        return [features]

    monkeypatch.setattr(known_texts, "read_batch", read)
    workspace: Any = SimpleNamespace(store=None, steps=SimpleNamespace(evaluation_frames=frames))
    split: Any = SimpleNamespace(train=(entry,))
    request = RequestSchema(fields=(RequestField(name="town", type="str", dtype="String"),), time="", key=())
    found = known_texts.of(workspace, "d", split, request)
    kept = {one.lower() for one in parts.of(features, part)["buyer"]}
    assert 0 < len(kept) < 40
    assert found == {"town": tuple(sorted(f"town of {one}" for one in kept))}
