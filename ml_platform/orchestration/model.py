"""Assets of a model: split → model → evaluation → (refit →) registered_model → service → deployment."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.model import ModelSpec
from ml_platform.documents.server import report_url
from ml_platform.foundation.earlier import FIRST_TRAINER
from ml_platform.foundation.errors import MissingReference
from ml_platform.foundation.files import canonical_json
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Verdict
from ml_platform.orchestration.common import WORKSPACE, asset_options, code_version, gate_check, plainly, workspace_of
from ml_platform.orchestration.estimated import estimated_asset
from ml_platform.orchestration.events import results, step_run
from ml_platform.orchestration.live import live_assets, live_checks
from ml_platform.orchestration.metadata import mlflow_link, ref_metadata, sentences, table
from ml_platform.orchestration.publications import inherited_tags, published_key
from ml_platform.orchestration.refusals import tag_refusal, tagged
from ml_platform.orchestration.scores import scores_asset
from ml_platform.pipeline import approval, drift, evaluation, refit, registration, release, training
from ml_platform.pipeline.inspections import INSPECTIONS
from ml_platform.pipeline.rollout import catch_up
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import DatasetRef, ModelRef, ReportRef, ServiceRef, SplitRef, VersionRef
from ml_platform.training.split import SplitRule

ASSETS = ("split", "model", "evaluation", "registered_model", "service", "deployment")
#: Between evaluation and registered_model, where it is declared.
REFIT = "refit"
#: Made by a job of its own: Evidently takes longer to import than a small training.
DRIFT = "drift"


def model_definitions(context: ModelContext) -> dg.Definitions:
    """The assets of a model, with their gates."""
    spec = context.model
    about = spec.description or f"Model {spec.name}"
    published = published_key(context.dataset.name)
    keys = {name: dg.AssetKey([spec.name, name]) for name in (*ASSETS, REFIT, DRIFT)}

    def options(name: str, text: str, *kinds: str, code: tuple[Any, ...] = ()) -> dict[str, Any]:
        return {
            "key": keys[name],
            "description": sentences(about, text),
            "code_version": code_version(*code),
            "required_resource_keys": {WORKSPACE},
            "deps": [published],
            **asset_options(spec, spec.name, kinds=set(kinds)),
        }

    def result(
        step: Any, parent: str, ref: Any, metadata: dict[str, Any], version: str = ""
    ) -> dg.MaterializeResult[Any]:
        return dg.MaterializeResult(
            value=ref,
            metadata={**ref_metadata(ref), **metadata},
            data_version=dg.DataVersion(version or ref.sha256),
            tags=inherited_tags(step.instance, context.dataset.name, keys[parent]) if parent else None,
        )

    feature_key = dg.AssetKey(context.feature_set.key.split("/"))

    @dg.asset(
        ins={"features": dg.AssetIn(feature_key)},
        **options(
            "split",
            "which partitions it is trained on and which are held out, by content.",
            "json",
            # Other code of the features is another split, once they are built anew.
            code=(_as_before(spec.split), context.feature_set.function, *context.feature_set.age),
        ),
    )
    @plainly
    def split(context_: dg.AssetExecutionContext, features: dict[str, DatasetRef]) -> dg.MaterializeResult[Any]:
        ref = training.split(workspace_of(context_), context, features, step_run(context_))
        return result(context_, "", ref, _split_metadata(ref))

    @dg.asset(
        ins={"split_ref": dg.AssetIn(keys["split"])},
        **options(
            "model",
            f"{spec.task} model of {spec.target}.",
            spec.trainer.partition(":")[0].rpartition(".")[2],
            "mlflow",
            # A trainer that is not declared is no part of a version: there was one only.
            code=(
                [spec.parameters.model_dump(), spec.task, spec.target, *spec.classes]
                + [spec.trainer] * (spec.trainer != FIRST_TRAINER),
                # Code of a user's own is followed.
                *(path for path in (spec.task, spec.trainer) if ":" in path),
            ),
        ),
    )
    @plainly
    def trained(context_: dg.AssetExecutionContext, split_ref: SplitRef) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        ref = training.fit(workspace, context, split_ref, step_run(context_))
        link = mlflow_link(workspace, spec.name, ref.mlflow_run_id)
        return result(
            context_, "split", ref, {"mlflow_run": link, "model_file": ref.uri, "manifest": ref.manifest_sha256}
        )

    @dg.asset(
        ins={"model_ref": dg.AssetIn(keys["model"])},
        **options(
            "evaluation",
            "how it does on the holdout, against trivial models and against the champion.",
            "html",
            "mlflow",
            code=(spec.decision_threshold,),
        ),
    )
    @plainly
    def evaluated(context_: dg.AssetExecutionContext, model_ref: ModelRef) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        # The champion that it is compared with may have been promoted since the last command.
        catch_up(workspace, [spec.name])
        ref = evaluation.evaluate(workspace, context, model_ref, step_run(context_))
        link = {"mlflow_run": mlflow_link(workspace, spec.name, ref.mlflow_run_id)}
        return result(
            context_,
            "model",
            ref,
            link | _report_metadata(workspace.settings, ref),
            version=f"{ref.sha256}-{ref.manifest_sha256}",
        )

    @dg.asset(
        ins={"report": dg.AssetIn(keys["evaluation"])},
        **options(
            REFIT,
            "the same recipe on everything up to the newest label: what is registered, once the judged model passed.",
            spec.trainer.partition(":")[0].rpartition(".")[2],
            "mlflow",
        ),
    )
    @plainly
    def refitted(context_: dg.AssetExecutionContext, report: ReportRef) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        ref = refit.refit(workspace, context, report, step_run(context_))
        link = mlflow_link(workspace, spec.name, ref.mlflow_run_id)
        told = {"mlflow_run": link, "model_file": ref.uri, "judged_model": report.sha256, "recipe": ref.recipe}
        return result(context_, "evaluation", ref, told | _split_metadata(ref.split))

    @dg.asset(
        ins={"report": dg.AssetIn(keys["evaluation"])}
        | ({"refit_ref": dg.AssetIn(keys[REFIT])} if spec.split.refit else {}),
        **options(
            "registered_model",
            "registered version with its approval; refused unless every verdict on this very model allows it.",
            "mlflow",
        ),
    )
    @plainly
    def registered_model(
        context_: dg.AssetExecutionContext, report: ReportRef, **made: ModelRef
    ) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        ref = registration.register(workspace, context, report, step_run(context_), made.get("refit_ref"))
        decision = approval.standing(workspace, ref)
        return result(
            context_,
            REFIT if spec.split.refit else "evaluation",
            ref,
            {"version": ref.version, "approval": decision.status, "ledger_head": ref.ledger_head},
        )

    @dg.asset(
        ins={"version": dg.AssetIn(keys["registered_model"])},
        **options("service", "BentoML service of the approved version, packaged with its feature code.", "bentoml"),
    )
    @plainly
    def service(context_: dg.AssetExecutionContext, version: VersionRef) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        with tagged(context_, keys["service"]):
            ref = release.package(workspace, context, version, step_run(context_))
        folder = dg.MetadataValue.path(str(workspace.settings.local / ref.path))
        return result(
            context_,
            "registered_model",
            ref,
            {"bento": ref.tag, "folder": folder, "version": ref.version},
        )

    @dg.asset(
        ins={"service_ref": dg.AssetIn(keys["service"])},
        **options("deployment", "the service that answers, behind its rollout record.", "http"),
    )
    @plainly
    def deployment(context_: dg.AssetExecutionContext, service_ref: ServiceRef) -> dg.MaterializeResult[Any]:
        with tagged(context_, keys["deployment"]):
            ref = release.deploy(workspace_of(context_), context, service_ref, step_run(context_))
        return result(context_, "service", ref, {"url": dg.MetadataValue.url(ref.url), "version": ref.version})

    @dg.asset(
        ins={"version": dg.AssetIn(keys["registered_model"])},
        **options(
            DRIFT,
            "Evidently's report on its raw inputs, holdout against training; outcomes of newer partitions beside what "
            "the version that answers leads one to expect.",
            "html",
        ),
    )
    @plainly
    def drift_report(context_: dg.AssetExecutionContext, version: VersionRef) -> dg.MaterializeResult[Any]:
        workspace = workspace_of(context_)
        settings = workspace.settings
        path, found = drift.write_report(workspace, context, version)
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.url(report_url(settings, path)),
                "report_file": dg.MetadataValue.path(str(path)),
                "version": version.version,
                "columns": found.columns,
                "drifted_columns": found.drifted,
                "share_drifted": found.share,
                **_seen_metadata(workspace, context),
            },
            data_version=dg.DataVersion(version.sha256),
            tags=inherited_tags(context_.instance, context.dataset.name, keys["registered_model"]),
        )

    checks = [
        check for stage, inspect in INSPECTIONS.items() for check in _checks(context, stage, keys[stage], inspect)
    ]
    assets: list[Any] = [
        split,
        trained,
        evaluated,
        *([refitted] if spec.split.refit else []),
        registered_model,
        service,
        deployment,
        drift_report,
        scores_asset(context),
        *live_assets(context),
        estimated_asset(context),
    ]
    return dg.Definitions(assets=assets, asset_checks=[*checks, *live_checks(context)])


def _seen_metadata(workspace: Workspace, context: ModelContext) -> dict[str, Any]:
    try:
        seen = drift.observe(workspace, context)
    except MissingReference as nothing:
        return {"newer_partitions": dg.MetadataValue.text(str(nothing))}
    assert seen is not None
    return {"newer_partitions": dg.MetadataValue.text(seen.text), "outcomes": table(seen.table)}


def drift_job(name: str) -> Any:
    """The job ``<model>_drift``: Evidently's report on the newest registered version."""
    return dg.define_asset_job(
        f"{name}_drift",
        selection=dg.AssetSelection.assets(dg.AssetKey([name, DRIFT])),
        description=f"Evidently's report on the inputs of {name}: holdout against training.",
        tags={"ml_platform/model": name},
    )


def train_job(spec: ModelSpec) -> Any:
    """The job ``<model>_train``: from split to deployment, with every check."""
    name, assets = spec.name, (*ASSETS, *([REFIT] if spec.split.refit else []))
    return dg.define_asset_job(
        f"{name}_train",
        selection=dg.AssetSelection.assets(*[dg.AssetKey([name, asset]) for asset in assets]),
        description=f"Train {name} on what is published now, and carry it to deployment if every gate passes.",
        tags={"ml_platform/model": name},
    )


def _checks(
    context: ModelContext, stage: Any, key: dg.AssetKey, inspect: Callable[..., list[Verdict]]
) -> list[dg.AssetChecksDefinition]:
    gates = context.model.gates_of(stage)

    def judge(step: Any, subject: Any) -> Iterator[Any]:
        verdicts = inspect(workspace_of(step), context, subject, step_run(step))
        tag_refusal(step, key, verdicts)
        yield from results(gates, verdicts)

    return gate_check(gates, key, judge)


def _as_before(rule: SplitRule) -> dict[str, Any]:
    """A rule as it was before there were keys that have their defaults: no asset is shown as changed."""
    return rule.model_dump(exclude={name for name in ("label_delay", "refit") if not getattr(rule, name)})


def _split_metadata(ref: SplitRef) -> dict[str, Any]:
    rows = [
        {"part": part, "partition": entry.label, "rows": entry.rows, "sha256": entry.sha256, "commit": entry.commit}
        for part, entries in (("train", ref.train), ("between", ref.between), ("holdout", ref.holdout))
        for entry in entries
    ]
    shown = {"partitions": table(rows), "manifest": dg.MetadataValue.json(_plain(ref))}
    if ref.refused:
        shown["refused"] = dg.MetadataValue.text(", ".join(ref.refused))
    return shown


def _plain(ref: SplitRef) -> Any:
    import json

    return json.loads(canonical_json(ref.model_dump(mode="json")))


def _report_metadata(settings: Settings, ref: ReportRef) -> dict[str, Any]:
    return {
        # Browsers do not open local files from a page of a server: `ml-platform ui` serves them.
        "report": dg.MetadataValue.url(report_url(settings, ref.html)),
        "report_file": dg.MetadataValue.path(str(settings.local / ref.html)),
        "report_in_mlflow": ref.uri,
        **{name: float(value) for name, value in ref.metrics.items()},
    }
