"""Typed references: the only values that pass between assets.

A reference is a few hundred bytes of JSON that names content by hash and location; never a frame, a
model or a pickle. ``sha256`` is always the identity of the content (the *subject* of verdicts).
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, JsonValue, TypeAdapter, ValidationError

from ml_platform.foundation.earlier import FIRST_FORMAT, FIRST_TRAINER
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import below_local, canonical_json, sha256_bytes
from ml_platform.foundation.provenance import Provenance

#: A path below the folder of everything that runs write, so that a copy of that folder names its own files.
BelowLocal = Annotated[str, AfterValidator(below_local)]


class Ref(BaseModel):
    """Base of all references: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    #: Identifier of the run that produced it.
    run_id: str
    #: Code, lock and Python version that produced it.
    provenance: Provenance


class DatasetRef(Ref):
    """One partition of a dataset or of a feature set, as an object in the store at a commit."""

    kind: Literal["dataset"] = "dataset"
    #: Dataset or feature set, e.g. ``flights`` or ``flights_features``.
    dataset: str
    partition: str
    #: Branch on which the commit was made; reading always uses ``commit``.
    branch: str
    commit: str
    path: str
    #: sha256 of the Parquet file.
    sha256: str
    rows: int
    #: Content this was computed from: name (``dataset/partition``) to sha256.
    inputs: dict[str, str] = {}
    #: Earlier partitions that were refused by their gates and so are not part of it.
    refused: tuple[str, ...] = ()


class Part(BaseModel):
    """Some rows of a partition, told by a hash (:func:`ml_platform.features.parts.of`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["train", "holdout"]
    #: Share of the groups that is held out, above 0 and below 1.
    share: float
    #: Columns of the features whose values make a group: its rows are never divided.
    by: tuple[str, ...]
    salt: str

    @property
    def shown(self) -> str:
        """In a few words, for people."""
        held = self.share if self.name == "holdout" else 1 - self.share
        return f"{held:.0%} by a hash of {', '.join(self.by)}"


class ManifestEntry(BaseModel):
    """One partition in a split manifest, or a part of its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str
    #: sha256 of the feature file, and the commit and path to read it at.
    sha256: str
    commit: str
    path: str
    #: Rows of the file.
    rows: int
    #: First and last event time, ISO dates; empty for data without time.
    first: str
    last: str
    #: Raw content the features were made from: ``dataset/partition`` to sha256.
    inputs: dict[str, str]
    #: The rows that count; None: all.
    part: Part | None = None

    @property
    def label(self) -> str:
        """The partition for people, and which part of it."""
        return f"{self.partition} ({self.part.shown})" if self.part else self.partition


class SplitRef(Ref):
    """Which partitions a model is trained on and which are held out, by content hash."""

    kind: Literal["split"] = "split"
    model: str
    dataset: str
    train: tuple[ManifestEntry, ...]
    holdout: tuple[ManifestEntry, ...]
    #: Partitions in the window that were refused by their gates, and so are in neither part.
    refused: tuple[str, ...] = ()
    #: Partitions between both parts, where a refit learns from them.
    between: tuple[ManifestEntry, ...] = ()
    #: sha256 of the split whose model was judged, where this one is of its refit: nothing is held out then.
    refits: str = ""

    @property
    def learned(self) -> tuple[ManifestEntry, ...]:
        """Everything in it, in order: what its model, or the refit of that, depends on."""
        return (*self.train, *self.between, *self.holdout)

    @property
    def newest(self) -> ManifestEntry:
        """The newest partition in it."""
        return (self.holdout or self.train)[-1]

    @property
    def sha256(self) -> str:
        """Hash of the content: the same partitions give the same hash, whichever run or commit."""

        def content(entries: tuple[ManifestEntry, ...]) -> list[dict[str, Any]]:
            # Without what is not given, so that manifests of earlier releases keep their hash.
            return [entry.model_dump(exclude={"commit", "path"}, exclude_none=True) for entry in entries]

        return sha256_bytes(
            canonical_json(
                {
                    "model": self.model,
                    "train": content(self.train),
                    "holdout": content(self.holdout),
                    "refused": self.refused,
                    **({"between": content(self.between)} if self.between else {}),
                    **({"refits": self.refits} if self.refits else {}),
                }
            )
        )


class ModelRef(Ref):
    """A trained model file in MLflow."""

    kind: Literal["model"] = "model"
    model: str
    mlflow_run_id: str
    #: URI of the model file among the MLflow run's artifacts.
    uri: str
    #: What the model is: sha256 of its file; where it has ``code``, of both (:mod:`ml_platform.models.code`).
    sha256: str
    manifest_sha256: str
    split: SplitRef
    task: str
    #: Values of a multiclass target, in the order of the model's probabilities.
    classes: tuple[str, ...] = ()
    #: Feature names in the order of the matrix.
    features: tuple[str, ...]
    target: str
    parameters: dict[str, JsonValue]
    seed: int
    #: What trained it, the format of its file, and the types in the file beyond those of the format.
    trainer: str = FIRST_TRAINER
    format: str = FIRST_FORMAT
    types: tuple[str, ...] = ()
    #: Versions of the code of its task and predictor, where that is not what the platform has had from the beginning.
    code: dict[str, str] = {}
    #: sha256 of the file where that alone is not what the model is; ask :attr:`file_hash`.
    file_sha256: str = ""
    #: Hash of everything but the rows that decides its bytes (:func:`ml_platform.training.code.Recipe`), where it is to
    #: be refitted.
    recipe: str = ""
    #: Of a refit: the model of the same recipe that was judged on rows which it did not learn from.
    judged: "ModelRef | None" = None

    @property
    def evaluated(self) -> "ModelRef":
        """The model that its evaluation is of: the judged one of a refit, else itself."""
        return self.judged or self

    @property
    def file_hash(self) -> str:
        """sha256 of the model file."""
        return self.file_sha256 or self.sha256


class ReportRef(Ref):
    """An evaluation of one model on one manifest's holdout."""

    kind: Literal["report"] = "report"
    model: str
    #: The model that was evaluated, as its reference names it: the subject of the evaluation's verdicts.
    sha256: str
    manifest_sha256: str
    mlflow_run_id: str
    #: The HTML report below ``.local`` and the URI of the same file in MLflow.
    html: BelowLocal
    uri: str
    metrics: dict[str, float]
    model_ref: ModelRef
    #: sha256 of the evaluation as it is kept in MLflow; empty in earlier releases.
    evaluation: str = ""


class VersionRef(Ref):
    """A registered version of a model."""

    kind: Literal["version"] = "version"
    model: str
    version: int
    #: The model, as its reference names it.
    sha256: str
    mlflow_run_id: str
    approval: Literal["pending", "approved", "rejected"]
    #: Head of the ledger's hash chain when the version was registered.
    ledger_head: str
    model_ref: ModelRef


class ServiceRef(Ref):
    """A packaged service (Bento) of a registered version."""

    kind: Literal["service"] = "service"
    model: str
    version: int
    #: ``name:version`` of the Bento and the sha256 of its folder: the subject of its verdicts.
    tag: str
    sha256: str
    #: Folder of the exported Bento, below ``.local``.
    path: BelowLocal
    model_sha256: str
    #: Hash of what was declared and written when it was packaged; empty in earlier releases.
    context: str = ""


class DeploymentRef(Ref):
    """The rollout record of a model after a deployment."""

    kind: Literal["deployment"] = "deployment"
    model: str
    version: int
    #: sha256 of the Bento that answers.
    sha256: str
    url: str
    #: Where the record is kept, for people.
    record: str


class LiveRef(Ref):
    """What is known of a model in use: its predictions, or how good they were; days or windows in the store."""

    kind: Literal["live"] = "live"
    model: str
    #: Branch, and the commit to read it at.
    branch: str
    commit: str
    #: sha256 over all that there is, by name.
    sha256: str
    #: Path in the store to the sha256 of what lies there.
    contents: dict[str, str]
    #: Predictions, and how many of them have a label.
    rows: int
    labelled: int = 0


#: Every kind of reference.
AnyRef = DatasetRef | SplitRef | ModelRef | ReportRef | VersionRef | ServiceRef | DeploymentRef | LiveRef
_adapter: TypeAdapter[AnyRef] = TypeAdapter(Annotated[AnyRef, Discriminator("kind")])


def read(content: bytes | str, name: str) -> AnyRef:
    """A reference from JSON; ``name`` says in messages where it is kept.

    Raises PlatformError where it is none, in one line with the first mistake.
    """
    try:
        return _adapter.validate_json(content)
    except ValidationError as error:
        raise PlatformError(
            f"{name} holds no reference ({_first(error)}); remove it and materialize its asset again"
        ) from error


def written(ref: Ref, indent: int | None = None) -> str:
    """A reference as JSON: what keeps references writes this and nothing else.

    Raises PlatformError for one that could not be read again, such as with a metric that is NaN.
    """
    text = ref.model_dump_json(indent=indent)
    try:
        _adapter.validate_json(text)
    except ValidationError as error:
        raise PlatformError(
            f"{type(ref).__name__} of run {ref.run_id} could not be read again ({_first(error)}); correct what made it"
        ) from error
    return text


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    more = f", {error.error_count() - 1} more mistakes" if error.error_count() > 1 else ""
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}{more}"
