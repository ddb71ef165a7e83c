"""What the UI shows beside an asset or a check."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ml_platform.gates.gate import Verdict
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, Ref

#: Rows of a table in the UI.
TABLE_ROWS = 100


def sentences(about: str, text: str) -> str:
    """What a declaration says about itself, as a sentence, and then what one of its assets is."""
    about = about.strip()
    end = "" if about.endswith((".", "?", "!")) else "."
    return f"{about}{end} {text[:1].upper()}{text[1:]}"


def mlflow_link(workspace: Workspace, model: str, run_id: str) -> dg.MetadataValue:
    """A run of MLflow: a link where a server keeps it, else its id (``mlflow ui`` shows local ones)."""
    server = workspace.tracking.address
    if not server.startswith(("http://", "https://")):
        return dg.MetadataValue.text(run_id)
    experiment = workspace.tracking.experiment(model)
    return dg.MetadataValue.url(f"{server.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}")


def ref_metadata(ref: Ref) -> dict[str, Any]:
    """Identity and origin of a reference."""
    shown: dict[str, Any] = {
        "sha256": getattr(ref, "sha256", None),
        "code_commit": ref.provenance.code_commit + (" (dirty)" if ref.provenance.dirty else ""),
        "lock_sha256": ref.provenance.lock_sha256,
        "python": ref.provenance.python,
    }
    if isinstance(ref, DatasetRef):
        shown |= {
            "dagster/row_count": ref.rows,
            "commit": ref.commit,
            "branch": ref.branch,
            "path": ref.path,
        }
        if ref.refused:
            shown["refused_history"] = ", ".join(ref.refused)
    return {name: value for name, value in shown.items() if value is not None}


def verdict_metadata(verdict: Verdict) -> dict[str, Any]:
    """Observed value, threshold, status, and every table of a verdict."""
    shown: dict[str, Any] = {
        "status": f"{verdict.shown}, nothing to compare with" if verdict.uncompared else verdict.shown,
        "threshold": verdict.threshold,
        "subject": dg.MetadataValue.text(f"{verdict.subject_name} {verdict.subject}"),
    }
    if verdict.observed is not None:
        shown["observed"] = verdict.observed
    if verdict.support is not None:
        shown["support"] = verdict.support
    for name, value in verdict.details.items():
        shown[name] = table(value) if _is_table(value) else _plain(value)
    return {name: value for name, value in shown.items() if value is not None}


def table(records: Sequence[Mapping[str, Any]]) -> dg.MetadataValue:
    """Flat records as a table; long ones are cut."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    rows = [dg.TableRecord({name: _cell(record.get(name)) for name in columns}) for record in records[:TABLE_ROWS]]
    schema = dg.TableSchema(columns=[dg.TableColumn(name, _type(records, name)) for name in columns])
    return dg.MetadataValue.table(records=rows, schema=schema)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON has no NaN; the UI would fail on it.
        return value if value == value and abs(value) != float("inf") else str(value)
    return str(value)


def _type(records: Sequence[Mapping[str, Any]], name: str) -> str:
    kinds = {type(record.get(name)) for record in records} - {type(None)}
    if kinds <= {int}:
        return "int"
    return "float" if kinds <= {int, float} else "string"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _cell(value)
    return dg.MetadataValue.json(value if isinstance(value, dict | list) else str(value)) if value else None
