"""``predict``, ``stop``."""

import json as jsonlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_platform.cli.output import declared_model, say
from ml_platform.declarations.context import ModelContext
from ml_platform.foundation.errors import PlatformError
from ml_platform.pipeline.workspace import Workspace


def live_url(workspace: Workspace, model: str) -> str:
    """Address of the live service. Raises PlatformError where there is none."""
    from ml_platform.rollout.processes import read_state

    url = read_state(workspace.settings).url(model)
    if url is None:
        raise PlatformError(f"{model}: no service is live; run ml-platform serve, or deploy a version first")
    return url


def ask(workspace: Workspace, model: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Predictions of the live service. Raises PlatformError where there is none, or another installation answers."""
    from ml_platform.rollout.processes import owner
    from ml_platform.serving.client import predict

    settings = workspace.settings
    return predict(live_url(workspace, model), rows, settings.secret_key.get_secret_value(), owner=owner(settings))


def rows_of(workspace: Workspace, context: ModelContext, partition: str, limit: int) -> list[dict[str, Any]]:
    """Request rows from a published partition, the newest by default."""
    from ml_platform.pipeline.materializer import materializer_of
    from ml_platform.serving.schema import request_schema, to_rows

    materializer = materializer_of(workspace, context.feature_set, context.dataset)
    known = materializer.published_partitions()
    chosen = partition or (known[-1] if known else "")
    if chosen not in known:
        raise PlatformError(
            f"{context.dataset.name}: {chosen or 'no partition'} is not published; "
            f"published: {', '.join(known) or 'none'}"
        )
    request = request_schema(context.function, context.dataset.load_schema(), context.dataset.added)
    return to_rows(request, materializer.raw(chosen).select(context.function.inputs).head(limit))


def _rows_of_file(context: ModelContext, file: Path) -> Any:
    """Rows of a JSON file as they stand there, or those of a CSV or Parquet file as the source's own are read."""
    from ml_platform.serving.arrow import checked
    from ml_platform.serving.refusals import BadValue
    from ml_platform.serving.schema import MAX_ROWS, request_schema, to_rows
    from ml_platform.sources.table_file import TABLES, content_of, read_table_file

    name, model = str(file), context.model.name
    if not name.lower().endswith(TABLES):
        try:
            given = jsonlib.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise PlatformError(
                f"{name}: cannot be read as JSON ({error}); --rows takes JSON, or a table: {', '.join(TABLES)}"
            ) from error
        return given["rows"] if isinstance(given, dict) and "rows" in given else given
    request = request_schema(context.function, context.dataset.load_schema(), context.dataset.added)
    asked = {field.name: request.types[field.name] for field in request.asked}
    frame, _ = read_table_file(content_of(name), name, context.dataset.source, asked)
    if not 1 <= frame.height <= MAX_ROWS:
        raise PlatformError(
            f"{name}: {frame.height:,} rows; a request has 1 to {MAX_ROWS:,}, and ml-platform score {model} --table "
            f"{name} takes any number"
        )
    try:
        return to_rows(request, checked(request, frame))
    except BadValue as error:
        raise PlatformError(f"{name}: {error.in_table()}") from error


def predict_rows(model: str, file: Path | None, partition: str, limit: int) -> None:
    """Print the live service's answer as JSON."""
    from ml_platform.declarations.loading import project_catalogue

    workspace = Workspace()
    context = ModelContext.of(project_catalogue(), declared_model(model))
    if file is not None:
        rows: Any = _rows_of_file(context, file)
    else:
        rows = rows_of(workspace, context, partition, limit)
    answer = ask(workspace, model, rows)
    say(*jsonlib.dumps(answer, indent=1).split("\n"), sep="\n")


def stop_everything() -> None:
    """Stop services and supervisor; says what was stopped."""
    from ml_platform.rollout.control import stop_all
    from ml_platform.rollout.processes import read_state

    workspace = Workspace()
    before = read_state(workspace.settings)
    supervised, count = before.running, len(before.services)
    stop_all(workspace.settings)
    if supervised or count:
        services = "1 service" if count == 1 else f"{count} services"
        say(f"stopped {services}{' and the supervisor' if supervised else ''}")
    else:
        say("no service runs")
