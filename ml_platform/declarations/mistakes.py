"""What cannot work in declarations that are well-formed: columns, modules, functions, metrics that do not exist."""

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml_platform.declarations import schemas
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.contract import broken_contract, broken_on_rows, broken_task, foreign_classes
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.declarations.declaration import Declaration
from ml_platform.declarations.features import FeatureSpec
from ml_platform.declarations.model import ModelSpec
from ml_platform.declarations.places import broken_module, in_code, in_schema
from ml_platform.declarations.rows import unlike
from ml_platform.declarations.schemas import broken_schema
from ml_platform.declarations.weak import impossible
from ml_platform.evaluation.options import MONTH
from ml_platform.features.contract import FeatureFunction, feature_names
from ml_platform.foundation.errors import DeclarationError, PlatformError
from ml_platform.foundation.names import meant, some
from ml_platform.foundation.raised import raised
from ml_platform.gates.gate import Gate
from ml_platform.gates.stages import GATED, Stage
from ml_platform.serving.schema import UNCARRIED
from ml_platform.sources.source import Checked
from ml_platform.training.trainer import require_limits, takes_unknown, trainer_of

#: Columns that are listed where one is unknown, at most.
SHOWN = 20
#: Kinds of gates whose ``metric`` is one of the evaluation's.
MEASURE_METRICS = {"performance", "baseline", "leak_alarm"}
#: Those whose ``metric`` has an interval: drawn by the platform, or given by row by the task.
PAIRED_METRICS = {"champion", "confidence", "jump"}


def problems(catalogue: Catalogue, *specs: Declaration, deep: bool = True) -> list[tuple[Declaration, str, str]]:
    """What cannot work in the declarations (all, or those given): declaration, key, reason.

    ``deep`` imports the schemas, and with them pandera; otherwise their columns are read from the source
    where it shows them.
    """
    return [problem for spec in specs or catalogue.all for problem in find(catalogue, spec, deep)]


def find(catalogue: Catalogue, spec: Declaration, deep: bool) -> list[tuple[Declaration, str, str]]:
    """What cannot work in one declaration among the others, as :func:`problems` says it."""
    found: list[tuple[Declaration, str, str]] = []

    def attempt(key: str, check: Any) -> Any:
        try:
            return check()
        except DeclarationError as error:
            found.append((spec, key, broken_module(error, str(error).removeprefix(f"{key}: "))))
            return None

    def unknown(key: str, wanted: Iterable[str], known: Iterable[str] | None, what: str) -> None:
        if known is None:
            return
        names = sorted(known)
        for column in wanted:
            if column not in names:
                found.append(
                    (spec, key, f"unknown column {column!r}; {what} has {some(names, SHOWN)}{meant(column, names)}")
                )

    def gate_columns(known: Iterable[str] | None, what: str, stages: Iterable[Stage] = GATED) -> None:
        for index, gate in enumerate(spec.gates):
            if gate.stage not in stages:
                continue
            more = (MONTH,) if gate.gate == "slices" and gate.against else ()
            for key in ("columns", "by", "but_for"):
                names = None if known is None else (*known, *more)
                unknown(f"gates.{index}.{key}", getattr(gate, key) or (), names, what)

    if isinstance(spec, DatasetSpec):
        source = attempt("source", spec.load_source)
        if deep and isinstance(source, Checked):
            attempt("source", source.check)
        before = len(found)
        if deep:
            broken = attempt("schema", lambda: [*broken_schema(spec)])
            found += [(spec, "schema", reason) for reason in broken or ()]
        known = attempt("schema", lambda: schema_columns(spec, deep)) if len(found) == before else None
        if deep and source is not None and known is not None:
            found += [(spec, one.key, one.placed(spec)) for one in unlike(spec) if one.certain]
        unknown("key", spec.key, known, spec.schema_)
        unknown("time", [spec.time] if spec.time else [], known, spec.schema_)
        gate_columns(known, spec.schema_)
        if deep and spec.partitions.hourly and spec.time in (known or ()):
            attempt("time", lambda: _with_hours(spec))
    elif isinstance(spec, FeatureSpec):
        dataset = attempt("dataset", lambda: catalogue.dataset(spec.dataset))
        where = "function" if spec.expressions is None else "expressions"
        function = attempt(where, spec.load_function)
        if dataset is not None and function is not None:
            # What is wrong with the dataset's schema or the feature function is said once, where it is declared.
            with suppress(DeclarationError):
                before = len(found)
                there = schema_columns(dataset, deep)
                start = len(found)
                for name in dict.fromkeys((*function.inputs, *function.key, *filter(None, [function.time]))):
                    unknown(where, [name], there, dataset.schema_)
                if dataset.partitions.timed and not function.time:
                    said = f"its time is empty, and {dataset.name} has partitions; name the column: {dataset.time!r}"
                    found.append((spec, where, said))
                if deep and len(found) == before:
                    found += [(spec, where, reason) for reason in broken_contract(dataset, function)]
                if deep and len(found) == before:
                    found += [(spec, where, reason) for reason in broken_on_rows(dataset, function)]
                if deep:
                    found += [
                        (
                            spec,
                            where,
                            f"input {name!r} is an outcome: {dataset.schema_} says it is known only after",
                        )
                        for name in outcomes_among(dataset, function.inputs)
                    ]
                if spec.expressions is None:
                    found[start:] = [(spec, where, _in_code(spec, dataset, one)) for *_, one in found[start:]]
    elif isinstance(spec, ModelSpec):
        if mistake := _untrainable(spec):
            found.append((spec, *mistake))
        features = attempt("features", lambda: catalogue.feature_set(spec.features))
        if features is not None and features.dataset in catalogue.datasets:
            found += [(spec, *one) for one in _untimely(spec, catalogue.dataset(features.dataset))]
        labels = attempt("labels", lambda: catalogue.dataset(spec.labels)) if spec.labels else None
        function = None
        with suppress(DeclarationError):
            function = features.load_function() if features is not None else None
        if labels is not None and function is not None:
            # What is wrong with its schema is said where it is declared.
            with suppress(DeclarationError):
                unknown("labels", _needed(spec, labels, function), schema_columns(labels, deep), labels.schema_)
        if function is not None:
            unknown("target", [spec.target], function.labels, "the feature function")
            gate_columns(function.slices, "the feature function", [stage for stage in GATED if stage != "shadow"])
            with suppress(DeclarationError):
                private = catalogue.dataset(features.dataset).private() if features is not None and deep else ()
                logged = [name for name in function.inputs if name not in private]
                gate_columns(logged, "the prediction log", ["shadow"])
            names = feature_names(function)
            for index, gate in enumerate(spec.gates):
                unknown(f"gates.{index}.increasing", gate.increasing or (), names, "the feature function")
                unknown(f"gates.{index}.decreasing", gate.decreasing or (), names, "the feature function")
            bounds = spec.worst_case.bounds if spec.worst_case else ()
            unknown("worst_case.bounds", bounds, names, "the feature function")
        if deep and function is not None and features is not None and spec.target in function.labels:
            # What is wrong with dataset or function is said where they are declared.
            with suppress(Exception):
                dataset = catalogue.dataset(features.dataset)
                found += [(spec, "classes", reason) for reason in foreign_classes(spec, dataset, function)]
                found += [(spec, "task", reason) for reason in broken_task(spec, dataset, function)]
        for index, gate in enumerate(spec.gates):
            try:
                known = _metrics_of(spec, gate, deep)
            except Exception as error:
                found.append((spec, "task", f"{spec.task} cannot name its metrics: {raised(error)}"))
                continue
            if wrong := impossible(spec, gate):
                found.append((spec, f"gates.{index}.{wrong[0]}", f"gate {gate.name}: {wrong[1]}"))
            if known and gate.metric not in known:
                reason = f"unknown metric {gate.metric!r}; {spec.task} models have {', '.join(map(str, known))}"
                if gate.gate in PAIRED_METRICS and gate.metric in spec.kind().measured:
                    reason = (
                        f"{gate.metric!r} has no interval: `losses` of the task {spec.task} gives no value by row for "
                        f"it, or `better` no side; take {', '.join(map(str, known))}, or give it there"
                    )
                reason += meant(str(gate.metric), map(str, known))
                found.append((spec, f"gates.{index}.metric", reason))
        if deep:
            found += [(spec, *one) for one in _unknown_baselines(spec)]
    return found


def _needed(spec: ModelSpec, labels: DatasetSpec, function: FeatureFunction) -> list[str]:
    """Columns that a dataset of labels has to have: the target, and what a prediction is found by."""
    return [spec.target, *(() if labels.by_request else function.key)]


def _with_hours(spec: DatasetSpec) -> None:
    """Raise DeclarationError where the time of hourly partitions has no hours."""
    import polars as pl

    if not isinstance(kind := spec.types().get(spec.time), pl.Datetime):
        raise DeclarationError(
            f"{spec.time!r} is {kind} in {spec.schema_}, and partitions are hours; make it a Datetime"
        )


def _untimely(spec: ModelSpec, dataset: DatasetSpec) -> list[tuple[str, str]]:
    """Key and reason of what is declared by time for data without partitions, or the other way round."""
    found: list[tuple[str, str]] = []
    timed, rule = dataset.partitions.timed, spec.split
    try:
        _ = rule.newest if timed else rule.share
    except PlatformError as error:
        found.append(("split.holdout", str(error).removeprefix("split.holdout: ")))
    if timed:
        if rule.group:
            found.append(("split.group", "rows of partitions are held out by their time; remove it"))
        return found
    without = f"{dataset.name} has `partitions: none`"
    found += [
        (f"split.{key}", f"{without}; remove it") for key in ("train", "gap", "label_delay") if getattr(rule, key)
    ]
    found += [
        (f"gates.{index}", f"{gate.name!r} asks when, and {without}; remove it")
        for index, gate in enumerate(spec.gates)
        if gate.of_time or (not dataset.time and gate.gate == "slices" and MONTH in (gate.columns or ()))
    ]
    return found


def _untrainable(spec: ModelSpec) -> tuple[str, str] | None:
    """Key and reason of parameters that the trainer cannot use for the task, or of which it cannot limit the rounds."""
    try:
        trainer = trainer_of(spec.trainer)
        trainer.check(spec.parameters, spec.kind())
    except PlatformError as error:
        key, colon, reason = str(error).partition(": ")
        return (key, reason) if colon and key.startswith("parameters") else ("parameters", str(error))
    except Exception as error:
        return "trainer", f"{spec.trainer} cannot check the parameters: {raised(error)}"
    try:
        # A proof and a gate ask for them, long after a training.
        require_limits(trainer, spec.parameters)
    except PlatformError as error:
        return "trainer", str(error).removeprefix("trainer ")
    if takes_unknown(trainer, spec.parameters):
        return "trainer", f'{spec.trainer}.Parameters takes keys that it does not know; add extra="forbid" to the class'
    return None


def _metrics_of(spec: ModelSpec, gate: Gate, deep: bool) -> tuple[str | None, ...]:
    """Metrics that the task has for a gate; none where that is not known from the task."""
    if gate.gate in MEASURE_METRICS:
        return spec.kind().measured
    if deep and gate.gate in PAIRED_METRICS:
        from ml_platform.models.dry_run import paired_metrics

        better = spec.kind().better
        return tuple(name for name in paired_metrics(spec.kind()) if name in better)
    if gate.gate == "slices" and deep:
        import polars as pl

        return tuple(spec.kind().by_group(pl.col("label"), pl.col("prediction")))
    return ()


def _unknown_baselines(spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """Key and reason of each `against` that names no model which the evaluation measures beside this one."""
    from ml_platform.evaluation.baselines import baseline_names

    asked = {f"gates.{index}.against": gate for index, gate in enumerate(spec.gates) if gate.gate == "baseline"}
    asked = {key: gate.against for key, gate in asked.items() if gate.against is not None}
    if not asked:
        return
    try:
        known = baseline_names(spec.kind())
    except Exception as error:
        yield "task", f"{spec.task} cannot name its baselines: {raised(error)}"
        return
    for key, name in asked.items():
        if name not in known:
            has = f"{spec.task} models are compared with {', '.join(known)}"
            yield key, f"unknown baseline {name!r}; {has}{meant(name, known)}"


def schema_columns(spec: DatasetSpec, deep: bool) -> list[str] | None:
    """Columns of a dataset's schema; without ``deep`` only where the source shows them, else ``None``.

    Raises DeclarationError where the module or the class is not there.
    """
    if deep:
        return schemas.schema_columns(spec)
    return columns_in_source(spec.schema_, "schema")


def _in_code(spec: FeatureSpec, dataset: DatasetSpec, reason: str) -> str:
    """A reason with its place: a type that no request has is the schema's."""
    return in_schema(dataset.schema_, reason) if UNCARRIED in reason else in_code(spec.function, reason)


def outcomes_among(spec: DatasetSpec, inputs: Iterable[str]) -> list[str]:
    """The ``inputs`` that the schema of a dataset marks as outcomes: no prediction can be asked for with them."""
    outcomes = spec.outcomes()
    return [name for name in inputs if name in outcomes]


def columns_in_source(path: str, key: str) -> list[str] | None:
    """Fields of the class ``module:Class`` read from its source; ``None`` where they cannot be told from it."""
    module, _, name = path.partition(":")
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise DeclarationError(f"{key}: cannot find module {module} ({error})") from error
    if found is None or found.origin is None:
        raise DeclarationError(f"{key}: there is no module {module}")
    tree = ast.parse(Path(found.origin).read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    imported = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if name not in classes:
        if name in imported | assigned:
            return None
        raise DeclarationError(f"{key}: module {module} has no object {name!r}")
    node = classes[name]
    plain = [ast.unparse(base).rpartition(".")[2] for base in node.bases] == ["DataFrameModel"]
    if not plain or "alias" in ast.unparse(node):
        return None
    return [
        field.target.id
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
