"""Rows that are no partition, scored by what answers: as a service would, judged and named as other scores are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ml_platform.cli.output import BadUsage
from ml_platform.cli.score import score
from ml_platform.datasets import batches
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.files import sha256_file
from ml_platform.foundation.provenance import Run
from ml_platform.pipeline import scores, table_scores
from ml_platform.references.refs import DatasetRef
from ml_platform_tests.pipeline.served import answering, packaged, rows_of
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import MAY, MODEL, copy_of


@pytest.fixture(scope="module")
def made(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answering(tmp_path_factory.getbasetemp(), with_models)


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    return copy_of(made, tmp_path / "project")


def scored(project: Project, where: Path) -> DatasetRef:
    with project.active() as workspace:
        return table_scores.score(workspace, project.context(), str(where), Run.new())


def test_rows_of_a_file_are_answered_as_by_the_service_and_kept_with_what_they_are_from(
    project: Project, tmp_path: Path
) -> None:
    rows, file = rows_of(project, MAY), tmp_path / "may.parquet"
    rows.write_parquet(file)
    ref = scored(project, file)
    with project.active() as workspace:
        frame, found = batches.read(workspace.store, ref), scores.at(workspace, MODEL, ref.partition)
    said = packaged(project).predict(rows)
    assert np.array_equal(frame["prediction"].to_numpy(), said.astype(np.float64))
    assert frame["decision"].equals((frame["prediction"] >= 0.4).alias("decision"))
    assert frame["order_id"].equals(rows["order_id"])
    assert ref.partition == f"table-{sha256_file(file)[:12]}" and ref.inputs["table"] == sha256_file(file)
    assert ref.inputs[f"{MODEL}@1"] == project.reference(f"{MODEL}/registered_model").sha256
    assert {verdict["gate"]: verdict["status"] for verdict in found["verdicts"]} == {
        "scores_input": "passed",
        "scores_parity": "passed",
        "scores_distribution": "passed",
    }
    # Once more nothing is made, and a table in text has the same answers.
    before = project.holdings()
    assert scored(project, file).sha256 == ref.sha256 and project.holdings() == before
    rows.write_csv(tmp_path / "may.csv")
    assert scored(project, tmp_path / "may.csv").sha256 == ref.sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop("price"), r"scores_input \(columns.price: Field required\)"),
        (lambda f: f.with_columns(price=pl.lit("dear")), r"scores_input \(column 'price': Input should be a column of"),
        (
            lambda f: f.with_columns(channel=pl.lit("pigeon")),
            r"scores_input \(column 'channel', row 1: Input should be ",
        ),
        (
            lambda f: f.with_columns(day=pl.lit(None, pl.Date)),
            r"scores_input \(column 'day', row 1: no value, where every ",
        ),
        (lambda f: f.head(0), r"scores_input \(the table has no rows\)"),
        # Each row is what a row may be; together they are none that the model was judged on.
        (lambda f: pl.concat([f.head(1)] * 600), r"scores_distribution \(distributed otherwise"),
    ],
)
def test_what_a_service_would_not_take_or_nobody_judged_is_refused_by_name(
    project: Project, tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], said: str
) -> None:
    file = tmp_path / "rows.parquet"
    change(rows_of(project, MAY)).write_parquet(file)
    before = project.holdings()
    with pytest.raises(Refused, match=said):
        scored(project, file)
    # The verdict is written down, and nothing else.
    assert replace(project.holdings(), ledger="") == replace(before, ledger="")


def test_features_that_depend_on_the_other_rows_are_refused(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ml_platform.features import build

    file, right = tmp_path / "rows.parquet", build.featurize
    rows_of(project, MAY).head(300).write_parquet(file)

    def wrong(function: object, raw: pl.DataFrame, history: object) -> np.ndarray:
        return right(function, raw, history) + np.float32(raw.height > 1)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "featurize", wrong)
    with pytest.raises(Refused, match=r"scores_parity \(200 rows one by one: "):
        scored(project, file)


def test_what_is_no_file_or_no_table_is_one_line(project: Project, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"nowhere\.csv cannot be read \(FileNotFoundError"):
        scored(project, tmp_path / "nowhere.csv")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(PlatformError, match=r"text\.parquet is no table"):
        scored(project, tmp_path / "text.parquet")


def test_a_table_has_no_partitions_to_choose() -> None:
    with pytest.raises(BadUsage, match="--table: the rows of a table are no partitions"):
        score(MODEL, "2024-01-01", table="x.csv")
    with pytest.raises(BadUsage, match="--out: only with --table"):
        score(MODEL, out=Path("x.parquet"))


def test_a_table_as_people_write_it_has_the_answers_of_the_rows_that_it_holds(project: Project, tmp_path: Path) -> None:
    rows = rows_of(project, MAY)
    rows.write_parquet(tmp_path / "may.parquet")
    written = rows.with_columns(
        pl.col("day").dt.to_string("%d.%m.%Y"),
        pl.col(pl.Float64).cast(pl.String).str.replace(".", ",", literal=True),
    )
    written.write_csv(tmp_path / "may.csv", separator=";")
    assert scored(project, tmp_path / "may.csv").sha256 == scored(project, tmp_path / "may.parquet").sha256
    with project.active() as workspace:
        name = f"{scores.key_of(MODEL)}/{table_scores.name_of(sha256_file(tmp_path / 'may.csv'))}"
        verdicts = workspace.ledger.judgement(name, sha256_file(tmp_path / "may.csv"))
    assert "(read with separator ';', decimal ',', formats {'day': '%d.%m.%Y'})" in verdicts["scores_input"].reason
