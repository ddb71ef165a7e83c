"""The part of a replay that runs in a fresh process on the code of the replayed commit.

Started by its path as ``python -P worker.py REQUEST RESULT``: everything else is imported from the checked-out
commit, or from the platform that is installed with it, so only functions are used that it has always had. Where those
stood elsewhere, in releases without ``ml_platform.training.trainer``, ``worker_1.py`` beside it takes over.
"""

import importlib.util
import json
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(request_file: Path, result_file: Path) -> None:
    """Rebuild the features of every manifest entry from raw rows, train, measure; writes what came out as JSON."""
    import polars as pl

    from ml_platform.features.build import build, matrix
    from ml_platform.features.history import History, daily
    from ml_platform.foundation import files
    from ml_platform.foundation.files import sha256_file
    from ml_platform.foundation.objects import load_object
    from ml_platform.foundation.parquet import read_frame, write_frame
    from ml_platform.models.predictor import load_predictor
    from ml_platform.models.task import task_of
    from ml_platform.training.trainer import trainer_of

    request: dict[str, Any] = json.loads(request_file.read_text())
    function = load_object(request["function"], "function")
    raw = {name: read_frame(Path(place["path"]), sha256=place["sha256"]) for name, place in request["raw"].items()}
    days = {name: daily(function, rows) for name, rows in raw.items()}
    rebuilt: dict[str, str] = {}

    def features(entry: dict[str, Any]) -> pl.DataFrame:
        names = sorted(entry["inputs"])
        tables = [days[name] for name in names]
        if request.get("hourly"):
            from ml_platform.features.history import of_hours

            tables = of_hours(tables)
        history = History.from_tables(function, tables, request["history_lag"])
        if request["refreshed"]:
            from ml_platform.sources.partitions import Partitions

            history = history.as_refreshed(Partitions.model_validate(request["refreshed"]))
        frame = build(function, raw[f"{request['dataset']}/{entry['partition']}"], history)
        with tempfile.TemporaryDirectory() as folder:
            rebuilt[entry["partition"]] = write_frame(frame, Path(folder) / "features.parquet")
        if entry.get("part"):
            from ml_platform.features import parts
            from ml_platform.references.refs import Part

            return parts.of(frame, Part.model_validate(entry["part"]))
        return frame

    target, names, threads = request["target"], request["features"], request["threads"]
    task = task_of(request["task"], request["classes"], request["threshold"])
    trainer = trainer_of(request["trainer"])
    with tempfile.TemporaryDirectory() as work:
        trained = trainer.train(
            lambda: (features(entry) for entry in request["train"]),
            names,
            target,
            task,
            trainer.Parameters.model_validate(request["parameters"]),
            Path(work),
            threads,
        )
        sha256 = sha256_file(trained.file)
        predictor = load_predictor(trained.format, trained.file, threads, trained.types)
    measured = {}
    if request["holdout"]:
        holdout, truth = task.labels(pl.concat([features(entry) for entry in request["holdout"]]), target)
        measured = task.measure(truth, predictor.predict(matrix(holdout, names)))
    result = {
        "code": str(Path(files.__file__).resolve().parents[1]),
        "environment": sys.prefix,
        "features": rebuilt,
        "sha256": sha256,
        "metrics": measured,
    }
    result_file.write_text(json.dumps(result))


if __name__ == "__main__" and importlib.util.find_spec("ml_platform.training.trainer") is None:
    runpy.run_path(str(Path(__file__).with_name("worker_1.py")), run_name="__main__")
elif __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
