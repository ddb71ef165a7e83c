"""Files that a colleague could have written, tried before they are kept."""

import importlib
import subprocess
import sys
from datetime import date

import numpy as np
import polars as pl
import pytest
import yaml

from ml_platform.declarations.loading import find_mistakes
from ml_platform.declarations.model import ModelSpec
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.project import Project
from ml_platform_tests.conftest import ROOT
from ml_platform_tests.creating.project import Mine
from ml_platform_tests.creating.tables import bundled, by_the_hour, hourly, noise, trips, visits


def three_months(frame: pl.DataFrame) -> pl.DataFrame:
    """Too few for windows, so that thresholds are from the quick fit: quick."""
    return frame.filter(pl.col("Picked up at").dt.month() <= 3)


def test_trips_become_a_gated_model(mine: Mine) -> None:
    made = mine.new(mine.table(three_months(trips()), "data/trips.csv"), "tipped", every="month")
    assert not made.noise
    assert find_mistakes(Project.find())[0] == []
    dataset, features = mine.declared("trips")
    assert dataset["source"] == {
        "kind": "folder",
        "path": "data",
        "pattern": "trips.csv",
        "by": "time",
        "days": {"day": "Picked up at"},
    }
    assert dataset["partitions"] == {"every": "month", "start": "2023-01-01"}
    assert (dataset["key"], dataset["time"], dataset["quarantine"]) == (["Trip ID"], "day", {"max": 0.02})
    assert {gate["gate"] for gate in dataset["gates"]} == {
        "schema",
        "rules",
        "missing",
        "duplicates",
        "window",
        "volume",
        "correction",
        "near_duplicates",
        "coverage",
        "distribution",
        "labels",
        "association",
    }
    assert [gate["gate"] for gate in features["gates"]] == ["ranges", "leakage", "parity", "single_feature"]
    (model,) = mine.declared("trips_tipped")
    assert (model["task"], model["target"], model["features"]) == ("binary", "tipped", "trips/features")
    assert model["split"] == {"holdout": 1, "refused": "list"}
    gates = {gate["gate"]: gate for gate in model["gates"]}
    observed = made.tried.fit.metrics["auc"]
    assert gates["performance"]["min"] == pytest.approx((observed + 0.5) / 2, abs=0.01)
    assert observed < gates["leak_alarm"]["max"] < 1
    assert "Rider e-mail" in model["limits"] and "placeholder" not in model["purpose"]
    function = importlib.import_module(f"{mine.package}.defs.trips.features").features
    assert "tip" not in function.inputs and "Rider e-mail" not in function.inputs
    assert {"hour", "weekday", "trip_distance_km", "payment_credit_card"} <= set(function.columns)
    code = (mine.defs / "trips" / "features.py").read_text()
    assert '    **one_hot("payment", ["cash", "credit card", "voucher"]),\n' in code and '"payment_cash"' not in code
    assert [one.by for one in function.histories] == [("Zone",)]


def test_what_is_written_is_formatted_typed_by_the_schema_and_stable(mine: Mine) -> None:
    table = mine.table(three_months(trips(3_000)), "data/trips.csv")
    first = mine.new(table, "tipped", every="month")
    before = mine.files()
    again = mine.new(table, "tipped", every="month")
    assert mine.files() == before
    assert again.written == [] and set(again.unchanged) == {one for one in first.written if "/trips" in one}
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--diff", "--config", str(ROOT / "pyproject.toml"), str(mine.defs)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    schema = importlib.import_module(f"{mine.package}.defs.trips.schema").Trips
    marks = {name: column.metadata or {} for name, column in schema.to_schema().columns.items()}
    assert {name for name, one in marks.items() if one.get("outcome")} == {"tip", "tipped"}
    assert {name for name, one in marks.items() if one.get("pii")} == {"Rider e-mail"}


@pytest.mark.parametrize("length", [5, 9, 14])
def test_categories_are_one_line_or_as_ruff_would_break_it(mine: Mine, length: int) -> None:
    random = np.random.default_rng(1)
    kinds = [f"kind {'x' * length} {number}" for number in range(8)]
    kind, signs = random.choice(kinds, 400), random.choice(["a+", "a-", "b"], 400)
    size = random.normal(size=400) + (kind == kinds[0])
    frame = pl.DataFrame(
        {"id": range(1, 800, 2), "kind": kind, "size": size, "signs": signs, "won": size + random.normal(size=400) > 0}
    )
    mine.new(mine.table(frame, "wins.csv"), "won")
    code = mine.defs / "wins" / "features.py"
    command = [sys.executable, "-m", "ruff", "format", "--diff", "--config", str(ROOT / "pyproject.toml"), str(code)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    function = importlib.import_module(f"{mine.package}.defs.wins.features").features
    # Of values that differ in a sign alone each has a name of its own.
    assert {"signs_a", "signs_a_2", "signs_b"} <= set(function.columns)
    assert len([name for name in function.columns if name.startswith("kind_")]) == 8
    assert 'pl.col("signs") == "a+"' in code.read_text() and "**one_hot(" in code.read_text()


def test_the_next_honest_month_keeps_the_schema(mine: Mine) -> None:
    frame = trips()
    mine.new(mine.table(three_months(frame), "data/trips.csv"), "tipped", every="month")
    from ml_platform.validation.schema import validate

    schema = importlib.import_module(f"{mine.package}.defs.trips.schema").Trips
    later = frame.filter(pl.col("Picked up at").dt.month() == 4).with_columns(
        pl.col("Trip Distance (km)") * 1.5, pl.lit("app").alias("payment"), day=pl.col("Picked up at").dt.date()
    )
    assert validate(schema, later).broken == ()
    wrong = later.with_columns(pl.col("Trip Distance (km)") * -1)
    assert [rule.column for rule in validate(schema, wrong).broken] == ["Trip Distance (km)"]


def test_of_noise_nothing_is_written(mine: Mine) -> None:
    before = mine.files()
    made = mine.new(mine.table(noise(), "noise.csv"), "won")
    assert made.noise and made.written == []
    assert mine.files() == before


def test_a_linear_model_that_is_better_is_told_as_it_is_declared(mine: Mine) -> None:
    random = np.random.default_rng(8)
    a, b = random.normal(size=(2, 300))
    frame = pl.DataFrame({"id": range(300), "a": a, "b": b, "c": 3 * a - 2 * b + random.normal(0, 0.2, 300)})
    made = mine.new(mine.table(frame, "lines.csv"), "c")
    assert "a linear model does better on these rows (mae 0." in made.tried.linear
    (model,) = mine.declared("lines_c")
    written = made.tried.linear.partition("write: ")[2]
    ModelSpec.model_validate({**model, **yaml.safe_load("{" + written + "}")})
    steps = frame.with_columns(
        c=(pl.col("a") > 0).cast(pl.Float64) * 7.5 + (pl.col("b").abs() < 0.3) + pl.col("id") / 1e4
    )
    assert mine.new(mine.table(steps, "steps.csv"), "c").tried.linear == ""


def test_what_stray_copies_and_units_become(mine: Mine) -> None:
    frame = hourly(600).filter(pl.col("day") < date(2024, 1, 22))
    frame = frame.with_columns(pl.format("{} C", "temperature"), order_id=pl.col("number").cast(pl.String) + "/7")
    made = mine.new(mine.table(pl.concat([frame, frame.tail(1)]), "sales.csv"), "sold", every="week")
    assert "numbers with a unit such as" in made.plan.left_out["temperature"]
    assert "order_id" in made.plan.left_out and made.plan.pasts == []
    gates = {gate["gate"]: gate for gate in mine.declared("sales")[0]["gates"]}
    assert 0 < gates["duplicates"]["max"] < 0.05


def test_files_of_people_are_never_overwritten_without_force(mine: Mine) -> None:
    table = mine.table(hourly().filter(pl.col("day") < date(2024, 1, 22)), "sales.csv")
    mine.new(table, "sold", every="week")
    edited = mine.defs / "sales" / "features.py"
    ours = edited.read_text()
    edited.write_text(ours + "\n# mine\n")
    before = mine.files()
    with pytest.raises(PlatformError, match=r"features.py is there and says something else; .* --force"):
        mine.new(table, "sold", every="week")
    assert mine.files() == before
    made = mine.new(table, "sold", every="week", force=True)
    assert [path for path in made.written if path.endswith(".py")] == [edited.relative_to(mine.root).as_posix()]
    assert edited.read_text() == ours


def test_a_project_gets_what_it_needs_once(mine: Mine) -> None:
    (mine.root / ".gitignore").write_text("*.pyc\n")
    table = mine.table(hourly().filter(pl.col("day") < date(2024, 1, 22)), "sales.csv")
    before = (mine.root / "pyproject.toml").read_text()
    made = mine.new(table, "sold", every="week")
    after = (mine.root / "pyproject.toml").read_text()
    assert after == f'{before.rstrip()}\n\n[tool.pytest.ini_options]\npythonpath = ["src"]\n'
    assert {"pyproject.toml", "dagster.yaml", ".gitignore", f"src/{mine.package}/defs/platform/defs.yaml"} <= set(
        made.written
    )
    assert (mine.root / ".gitignore").read_text() == "*.pyc\n/.local/\n"
    instance, ours = (yaml.safe_load((folder / "dagster.yaml").read_text()) for folder in (mine.root, ROOT))
    assert instance == ours
    (mine.root / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    again = mine.new(table, "sold", every="week")
    assert again.written == []


@pytest.mark.parametrize(
    ("days", "every", "reason"),
    [
        (2, None, "goes from 2024-01-01 to 2024-01-02"),
        (20, "month", "1 whole by the month, and a model needs 3"),
    ],
)
def test_too_little_time_is_told(mine: Mine, days: int, every: str | None, reason: str) -> None:
    frame = hourly(200).with_columns(day=pl.date(2024, 1, 1) + pl.duration(days=pl.col("number") % days))
    with pytest.raises(PlatformError, match=reason):
        mine.new(mine.table(frame), "sold", time="day", **({"every": every} if every else {}))
    assert mine.files().keys() == {
        f"src/{mine.package}/{name}" for name in ("__init__.py", "definitions.py", "defs/__init__.py")
    }


@pytest.mark.slow
def test_few_rows_of_many_years_are_yearly_partitions(mine: Mine) -> None:
    frame = hourly(400).with_columns(
        day=pl.date(2015 + pl.col("number") // 50, 3, 1) + pl.duration(days=pl.col("store_id"))
    )
    made = mine.new(mine.table(frame), "sold")
    assert (made.plan.every, made.plan.start, made.plan.holdout) == ("year", date(2015, 1, 1), 2)
    dataset, _ = mine.declared("sales")
    assert dataset["partitions"] == {"every": "year", "start": "2015-01-01"}
    assert mine.new(mine.table(frame), "sold", every="year").written == []
    assert find_mistakes(Project.find())[0] == []
    declared = mine.defs / "sales" / "defs.yaml"
    declared.write_text(declared.read_text().replace("2015-01-01", "2015-02-01"))
    (mistake, *_) = find_mistakes(Project.find())[0]
    assert 'years begin on January 1; take start: "2015-01-01"' in mistake


def test_rows_of_one_customer_stay_together_without_time(mine: Mine) -> None:
    made = mine.new(mine.table(visits(), "visits.csv"), "plan")
    assert find_mistakes(Project.find())[0] == []
    dataset, features = mine.declared("visits")
    assert (dataset["partitions"], dataset["key"], dataset["source"]["row_id"]) == ("none", ["row"], "row")
    assert "time" not in dataset and "by" not in dataset["source"]
    assert {gate["gate"] for gate in dataset["gates"]} == {
        *("schema", "rules", "missing", "duplicates", "near_duplicates", "volume", "distribution"),
    }
    assert "history_lag" not in features
    (model,) = mine.declared("visits_plan")
    assert model["split"] == {"holdout": 0.2, "group": ["customer_id"]}
    assert made.plan.left_out["customer_id"].startswith("its rows are held out together")
    assert model["classes"] == ["basic", "gold", "silver"]
    gates = {gate["gate"] for gate in model["gates"]}
    assert "disjoint" in gates and not {"time_order", "window", "volume"} & gates
    assert 0.5 < made.tried.fit.metrics["accuracy"] < 0.97


def test_a_column_called_class_is_predicted(mine: Mine) -> None:
    made = mine.new(mine.table(visits().rename({"plan": "class"}), "visits.csv"), "class")
    assert find_mistakes(Project.find())[0] == []
    (model,) = mine.declared("visits_class")
    assert (made.plan.model, model["target"], model["task"]) == ("visits_class", "class_", "multiclass")


def test_what_numbers_patients_is_a_part_of_the_key_personal_and_keeps_rows_together(mine: Mine) -> None:
    numbered = visits().with_columns(pl.col("customer_id").alias("Patient ID"), born=pl.col("age") + 1900)
    frame = numbered.with_columns(pl.int_range(pl.len()).over("Patient ID").alias("Visit No")).drop("customer_id")
    made = mine.new(mine.table(frame, "visits.csv"), "plan")
    assert find_mistakes(Project.find())[0] == []
    (dataset, _), (model,) = mine.declared("visits"), mine.declared("visits_plan")
    assert dataset["key"] == ["Patient ID", "Visit No"] and model["split"]["group"] == ["Patient ID"]
    assert made.plan.left_out["Patient ID"] == "personal, by its name"
    schema = (mine.defs / "visits" / "schema.py").read_text()
    lines = {line.partition(":")[0].strip(): line for line in schema.splitlines()}
    for name in ("patient_id", "born"):
        values = frame[name.replace("patient_id", "Patient ID")]
        assert '"pii": True' in lines[name] and f"# {values.n_unique()} values" in lines[name]
        assert str(values.min()) not in lines[name] and str(values.max()) not in lines[name]


@pytest.mark.parametrize(
    ("name", "task", "metric"), [("wine", "multiclass", "accuracy"), ("diabetes", "regression", "r2")]
)
def test_real_tables(mine: Mine, name: str, task: str, metric: str) -> None:
    made = mine.new(mine.table(bundled(name), f"{name}.csv"), "target")
    assert find_mistakes(Project.find())[0] == []
    (model,) = mine.declared(f"{name}_target")
    assert model["task"] == task and not made.noise
    (gate,) = (gate for gate in model["gates"] if gate["gate"] == "performance")
    assert gate["metric"] == metric
    assert gate["min"] < made.tried.fit.metrics[metric]


def test_a_time_with_gaps_is_left_where_it_was_only_guessed(mine: Mine) -> None:
    days = [date(2024, 1, 1 + number % 2) if number % 3 else date(2024, 9, 1) for number in range(600)]
    table = mine.table(hourly(600).with_columns(day=pl.Series(days)), "sales.csv")
    made = mine.new(table, "sold")
    assert mine.declared("sales")[0]["partitions"] == "none"
    assert any("the rows are divided by a hash, without time" in note for note in made.notes)
    with pytest.raises(PlatformError, match=r"'day': there is no row in"):
        mine.new(table, "sold", time="day", force=True)


@pytest.mark.slow
def test_few_days_of_many_rows_are_divided_by_hours(mine: Mine) -> None:
    made = mine.new(mine.table(by_the_hour(36), "oven.csv"), "heat")
    dataset, features = mine.declared("oven")
    # Times have an offset of an hour: they are in UTC from here on.
    assert dataset["partitions"] == {"every": "hour", "start": "2024-03-03T23"}
    assert (dataset["time"], dataset["source"]["by"]) == ("Measured at", "time") and "days" not in dataset["source"]
    assert len(made.plan.partitions) == 36 and set(made.plan.partitions.values()) == {30}
    assert features["function"].endswith(".features:features")
    assert {"gate": "coverage", "every": "hour", "max": 0.5} in dataset["gates"]
    assert not [gate for gate in dataset["gates"] if gate.get("every") == "day"]
    assert mine.declared("oven_heat")[0]["split"]["holdout"] == 7
    code = (mine.defs / "oven" / "features.py").read_text()
    assert 'time = "Measured at"' in code and '"hour": pl.col("Measured at").dt.hour(),' in code
    # In thirty rows a single feature says nearly everything by chance: no gate, that honest hours would fail.
    assert made.tried.alone >= 0.97 and "single_feature" not in {gate["gate"] for gate in features["gates"]}
    # Hours with few rows are no better than days.
    sparse = mine.new(mine.table(by_the_hour(24 * 8)[::8], "oven_2.csv"), "heat")
    assert sparse.plan.every == "day"


def test_outcomes_that_come_late_are_neither_trained_on_nor_held_out(mine: Mine) -> None:
    frame = hourly().filter(pl.col("day") < date(2024, 2, 5))
    late = frame.with_columns(sold=pl.when(pl.col("day") < date(2024, 1, 22)).then(pl.col("sold")))
    made = mine.new(mine.table(late, "sales.csv"), "sold", every="week")
    assert mine.declared("sales_sold")[0]["split"] == {"holdout": 1, "label_delay": 14, "refused": "list"}
    assert mine.declared("sales")[1]["history_lag"] == 15
    assert made.plan.held_out == date(2024, 1, 15)
    assert any(note.startswith("'sold' is not known yet in the newest 14 days: ") for note in made.notes)
    # Nobody can ask for it when a batch arrives.
    assert not any(
        "sold" in gate.get("columns", ()) for gate in mine.declared("sales")[0]["gates"] if gate["gate"] == "missing"
    )
    assert find_mistakes(Project.find())[0] == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("temperature: float = Field(nullable=True, ", "temperature: bool = Field(nullable=True)  # (", "has Boolean;"),
        ("hour: int = Field(ge=0", "hour: int = Field(ge=50", "column 'hour' of its newest file: no row keeps"),
    ],
)
def test_what_no_row_of_the_source_keeps_is_told_at_the_line_of_the_column(
    mine: Mine, old: str, new: str, reason: str
) -> None:
    frame = hourly(400)
    mine.new(mine.table(frame, "sales.csv"), "sold")
    file = mine.defs / "sales" / "schema.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    for name in [one for one in sys.modules if one.partition(".")[0] == mine.package]:
        del sys.modules[name]
    (told,) = [one for one in find_mistakes(Project.find())[0] if "schema.py:" in one]
    number = text.splitlines().index(next(line for line in text.splitlines() if old in line)) + 1
    assert told.startswith(f"src/{mine.package}/defs/sales/schema.py:{number}: ") and reason in told, told
