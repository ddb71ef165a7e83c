"""The part of a replay that runs in a fresh process on the code of the replayed commit.

Started by its path as ``python -P worker.py REQUEST RESULT``: everything else is imported from the checked-out
commit, or from the platform that is installed with it, so only functions are used that it has always had. Where those
stood elsewhere, in releases without ``ml_platform.foundation``, ``worker_1.py`` beside it takes over.
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
    import numpy as np
    import polars as pl

    from ml_platform.features.build import build
    from ml_platform.features.history import History, daily
    from ml_platform.foundation import files
    from ml_platform.foundation.objects import load_object
    from ml_platform.foundation.parquet import read_frame, write_frame
    from ml_platform.models.metrics import metrics
    from ml_platform.training.parameters import TrainingParameters
    from ml_platform.training.train import labelled, load_booster, matrix, predict, train

    request: dict[str, Any] = json.loads(request_file.read_text())
    function = load_object(request["function"], "function")
    raw = {name: read_frame(Path(place["path"]), sha256=place["sha256"]) for name, place in request["raw"].items()}
    days = {name: daily(function, rows) for name, rows in raw.items()}
    rebuilt: dict[str, str] = {}

    def features(entry: dict[str, Any]) -> pl.DataFrame:
        names = sorted(entry["inputs"])
        history = History.from_tables(function, [days[name] for name in names], request["history_lag"])
        frame = build(function, raw[f"{request['dataset']}/{entry['partition']}"], history)
        with tempfile.TemporaryDirectory() as folder:
            rebuilt[entry["partition"]] = write_frame(frame, Path(folder) / "features.parquet")
        return frame

    target, task = request["target"], request["task"]
    # Code from before there were classes takes none.
    several = {"classes": request["classes"]} if request.get("classes") else {}
    trained = train(
        (features(entry) for entry in request["train"]),
        request["features"],
        target,
        task,
        TrainingParameters.model_validate(request["parameters"]),
        request["threads"],
        **several,
    )
    holdout = labelled(pl.concat([features(entry) for entry in request["holdout"]]), target, task, **several)
    booster = load_booster(trained.content, request["threads"])
    predictions = predict(booster, matrix(holdout, request["features"]))
    if several:
        from ml_platform.training.train import label_values

        truth = label_values(holdout, target, **several)
    else:
        truth = holdout[target].cast(pl.Float64).to_numpy()
    measured = metrics(task, np.asarray(truth), predictions, request["threshold"])
    result = {
        "code": str(Path(files.__file__).resolve().parents[1]),
        "environment": sys.prefix,
        "features": rebuilt,
        "sha256": files.sha256_bytes(trained.content),
        "metrics": measured,
    }
    result_file.write_text(json.dumps(result))


if __name__ == "__main__" and importlib.util.find_spec("ml_platform.foundation") is None:
    runpy.run_path(str(Path(__file__).with_name("worker_1.py")), run_name="__main__")
elif __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
