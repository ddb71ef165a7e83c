"""Breaks between a registered version and what answers: packages, and the live route."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from ml_platform.foundation.files import sha256_bytes, sha256_file
from ml_platform.pipeline import release
from ml_platform.proving import breaks
from ml_platform.proving.findings import Finding
from ml_platform.proving.proof import Proof
from ml_platform.references.refs import DeploymentRef, ServiceRef
from ml_platform.registry import evaluations
from ml_platform.training.trainer import limited, rounds_of

OTHER = "another version answers than was deployed"


def broken_services(proof: Proof) -> Iterator[Finding]:
    """The clean package first, then each broken one, each really started; then the live route."""
    context, clean = proof.context, proof.workspace
    sound = release.package(clean, context, proof.version, proof.run)
    proof.keep("service", "", release.inspect_service(clean, context, sound, proof.run))
    importance = evaluations.load(clean.tracking, proof.model).importance
    strongest = [row["feature"] for row in importance][:2]
    other, sha256 = _another_model(proof)
    if len(strongest) == 2:
        for one in breaks.package_breaks(proof.model.features, (strongest[0], strongest[1]), other, sha256):
            yield _packaged(proof, one)
    for one in breaks.load_breaks(context.model.gates):
        yield _packaged(proof, one)
    yield _route(proof, sound)


def _packaged(proof: Proof, one: breaks.CodeBreak) -> Finding:
    """The package that broken code makes, started and asked."""
    finding = Finding(one.name, one.case, "service")
    workspace = proof.copy(proof.workspace)
    with proof.watched(finding):
        broken, context = one.applied(workspace, proof.context)
        built = release.package(broken, context, proof.version, proof.run)
        verdicts = release.inspect_service(workspace, proof.context, built, proof.run)
        proof.asked(finding, workspace, "service", "", verdicts)
    return finding


def _another_model(proof: Proof) -> tuple[Path, str]:
    """A smaller model of the same features, and its hash."""

    spec, train = proof.context.model, proof.split.train[:1]
    trainer = proof.workspace.steps.trainer(spec.trainer)
    rounds = rounds_of(trainer, spec.parameters)
    parameters = limited(trainer, spec.parameters, max(1, rounds // 10)) if rounds else spec.parameters
    work = Path(mkdtemp(prefix="other-", dir=proof.folder))
    trained = trainer.train(
        lambda: proof.workspace.steps.training_frames(proof.workspace.store, train),
        *(proof.model.features, spec.target, spec.kind(), parameters, work, proof.workspace.settings.threads),
    )
    return trained.file, sha256_file(trained.file)


def _route(proof: Proof, service: ServiceRef) -> Finding:
    """The sound package answers where another version is said to be deployed."""
    from ml_platform.serving import checks

    finding = Finding(OTHER, "", "deployment")
    workspace = proof.copy(proof.workspace)

    def deployed(url: str, version: int, sha256: str) -> DeploymentRef:
        return DeploymentRef(
            run_id=proof.run.id,
            provenance=proof.run.provenance,
            model=service.model,
            version=version,
            sha256=sha256,
            url=url,
            record="",
        )

    with (
        proof.watched(finding),
        checks.running(proof.workspace.settings.local / service.path, workspace.settings) as live,
    ):
        right = deployed(live.url, service.version, service.sha256)
        verdicts = release.judge_route(proof.workspace, proof.context, right, proof.run, live.url)
        proof.keep("deployment", "", verdicts)
        wrong = deployed(live.url, service.version + 1, sha256_bytes(b"another package"))
        verdicts = release.judge_route(workspace, proof.context, wrong, proof.run, live.url)
        proof.asked(finding, workspace, "deployment", "", verdicts)
    return finding
