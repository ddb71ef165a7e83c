"""Registered versions of models: MLflow's model registry, with approval and provenance in the tags."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import canonical_json
from ml_platform.foundation.parts import Parts
from ml_platform.foundation.words import require_words
from ml_platform.models.code import same_task
from ml_platform.references.refs import ModelRef, VersionRef
from ml_platform.registry.tracking import MODEL_FOLDER, Tracking

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

Approval = Literal["pending", "approved", "rejected"]
APPROVALS = get_args(Approval)

CHAMPION = "champion"
CARD_ARTIFACT = "model_card.md"
#: Tags of a version.
SHA_TAG = "ml_platform.model_sha256"
MANIFEST_TAG = "ml_platform.manifest_sha256"
APPROVAL_TAG = "ml_platform.approval"
DECISION_TAG = "ml_platform.approval_decision"
LEDGER_TAG = "ml_platform.ledger_head"
#: The same after the last decision on a version; none before the first, and in versions of earlier releases.
DECIDED_TAG = "ml_platform.decided_ledger_head"
RUN_TAG = "ml_platform.run_id"
PROVENANCE_TAG = "ml_platform.provenance"
#: Tag of a model: the versions that had an alias before, oldest first, and how many are kept.
EARLIER_TAG = "ml_platform.earlier."
EARLIER_LIMIT = 50

#: Longest description that every database behind MLflow takes.
DESCRIPTION_LIMIT = 5000


class Registry:
    """Versions of models. A version is identified by its model file and its split manifest."""

    def __init__(self, tracking: Tracking) -> None:
        self.tracking = tracking

    def register(
        self,
        reference: ModelRef,
        *,
        approval: Approval,
        ledger_head: str,
        tags: Mapping[str, str],
        card_markdown: str,
        known: Callable[[ModelRef], bool] = lambda _: True,
    ) -> VersionRef:
        """Register a model file, or return the version that has the same model and manifest already.

        A version that exists keeps its approval, ledger head and tags; one whose reference is not ``known`` is left
        alone. Everything that identifies a version is written in the request that creates it, so a kill leaves a
        whole version or none.

        Raises MissingReference where the model file is gone, PlatformError where its bytes changed, where they are
        those of a version of another task, or MLflow fails.
        """
        model = reference.model
        with self.tracking.lock(f"register-{model}"):
            for version in self.of_model(model, reference.sha256):
                if version.model_ref.manifest_sha256 == reference.manifest_sha256 and known(version.model_ref):
                    _require_alike(version, reference)
                    # Code that stands elsewhere now is loaded by its new name: by a version of its own.
                    if _names(version.model_ref) == _names(reference):
                        return version
            self.tracking.model_path(reference)
            self._ensure_model(model)
            self.tracking.log_artifact(reference.mlflow_run_id, CARD_ARTIFACT, card_markdown)
            with self.tracking.calls(f"register a version of {model}"):
                version = self.tracking.client.create_model_version(
                    model,
                    source=f"runs:/{reference.mlflow_run_id}/{MODEL_FOLDER}",
                    run_id=reference.mlflow_run_id,
                    description=_description(card_markdown),
                    tags={
                        **tags,
                        SHA_TAG: reference.sha256,
                        APPROVAL_TAG: approval,
                        LEDGER_TAG: ledger_head,
                        **_told(reference),
                    },
                )
            return self._ref(version, reference)

    def set_approval(
        self, model: str, version: int, status: Literal["approved", "rejected"], by: str, reason: str
    ) -> VersionRef:
        """Approve or reject a version; who, why and when are kept with it. Repeating a decision is no error.

        Raises PlatformError without a name or a reason, MissingReference for an unknown version.
        """
        if status not in ("approved", "rejected"):
            raise PlatformError(f"approval of {model} version {version}: {status!r} is no decision")
        require_words(f"approval of {model} version {version}", by=by, reason=reason)
        current = self._version(model, version)
        if current.tags.get(APPROVAL_TAG) != status:
            decision = {"status": status, "by": by, "reason": reason, "at": datetime.now(UTC).isoformat()}
            # The status is what counts and is written last: a kill in between leaves the old decision.
            self._tag(model, version, DECISION_TAG, canonical_json(decision))
            self._tag(model, version, APPROVAL_TAG, status)
        return self.get(model, version)

    def note(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of a version that are beside what identifies it."""
        for name, value in tags.items():
            self._tag(model, version, name, value)

    def decision(self, model: str, version: int) -> dict[str, str] | None:
        """The person's decision in force on a version (status, by, reason, at); None where there is none."""
        tags = self._version(model, version).tags
        found: dict[str, str] = json.loads(tags.get(DECISION_TAG, "{}"))
        return found if found and found["status"] == tags.get(APPROVAL_TAG) else None

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version; any version it named before loses it. Raises MissingReference."""
        if alias.removeprefix("v").isdigit() or alias == "latest":
            raise PlatformError(f"alias {alias!r}: MLflow reserves it (as numbers and v1); take another name")
        self._version(model, version)
        with self.tracking.lock(f"alias-{model}"):
            registered = self._model(model)
            current = int(registered.aliases.get(alias, version))
            if current != version:
                # Like a stack: going back to an earlier version forgets what came after it.
                earlier = [*self._earlier(registered, alias), current]
                earlier = earlier[: earlier.index(version)] if version in earlier else earlier
                with self.tracking.calls(f"tag {model}"):
                    self.tracking.client.set_registered_model_tag(
                        model, EARLIER_TAG + alias, canonical_json(earlier[-EARLIER_LIMIT:])
                    )
            with self.tracking.calls(f"set alias {alias} of {model}"):
                self.tracking.client.set_registered_model_alias(model, alias, str(version))

    def _earlier(self, registered: Any, alias: str) -> list[int]:
        found: list[int] = json.loads(registered.tags.get(EARLIER_TAG + alias, "[]"))
        return found

    def aliases(self, model: str) -> dict[str, int]:
        """Alias to version. Raises MissingReference for an unknown model."""
        return {alias: int(version) for alias, version in self._model(model).aliases.items()}

    def get(self, model: str, version: int | str) -> VersionRef:
        """A version by its number or an alias.

        Raises MissingReference for an unknown model, version or alias, naming those there are.
        """
        return self._ref(self._version(model, version))

    def versions(self, model: str, parts: Parts | None = None) -> list[VersionRef]:
        """Every version, oldest first; empty for a model that was never registered.

        One that cannot be read raises PlatformError, or is told to ``parts`` and left out.
        """
        if parts is None:
            return [self._ref(version) for version in self._all(model)]
        named: dict[str, Any] = {f"{model} version {one.version}": one for one in self._all(model)}
        found = [parts.read(name, partial(self._ref, version), None) for name, version in named.items()]
        return [version for version in found if version is not None]

    def of_model(self, model: str, sha256: str) -> list[VersionRef]:
        """Every version of this very model file, oldest first."""
        return [self._ref(version) for version in self._all(model) if version.tags.get(SHA_TAG) == sha256]

    def edited(self, version: VersionRef) -> list[str]:
        """Tags of a version that do not tell of its training what its reference does: somebody changed them."""
        tags = self._version(version.model, version.version).tags
        return [name for name, value in _told(version.model_ref).items() if tags.get(name) != value]

    def tell(self, version: VersionRef) -> None:
        """Write tags that were :meth:`edited` again."""
        told = _told(version.model_ref)
        self.note(version.model, version.version, {name: told[name] for name in self.edited(version)})

    def tags(self, model: str) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Version and tags of every version, newest first; of its run nothing is read."""
        for version in reversed(self._all(model)):
            yield int(version.version), version.tags

    def latest(self, model: str) -> VersionRef | None:
        """The newest version, whatever its approval; None where there is none."""
        found = self._all(model)
        return self._ref(found[-1]) if found else None

    def champion(self, model: str) -> VersionRef | None:
        """The version with the alias ``champion``; None where no version has it."""
        if not self._all(model):
            return None
        number = self.aliases(model).get(CHAMPION)
        return None if number is None else self.get(model, number)

    def previous(self, model: str, alias: str = CHAMPION) -> VersionRef | None:
        """The version that had the alias before the one that has it now; None where there was none."""
        if not self._all(model):
            return None
        registered = self._model(model)
        current = int(registered.aliases.get(alias, 0))
        # A kill between note and alias leaves the present version at the end of the notes.
        earlier = [number for number in self._earlier(registered, alias) if number != current]
        return self.get(model, earlier[-1]) if current and earlier else None

    def card(self, version: VersionRef) -> str:
        """The model card (Markdown). Raises MissingReference."""
        return self.tracking.read_artifact(version.mlflow_run_id, CARD_ARTIFACT).decode()

    def described(self, version: VersionRef, card_markdown: str) -> bool:
        """Whether MLflow's description of a version is that card."""
        return self._version(version.model, version.version).description == _description(card_markdown)

    def set_card(self, version: VersionRef, card_markdown: str) -> None:
        """Replace the model card of a version, in MLflow's description of it too."""
        self.tracking.log_artifact(version.mlflow_run_id, CARD_ARTIFACT, card_markdown)
        with self.tracking.calls(f"describe {version.model} version {version.version}"):
            self.tracking.client.update_model_version(
                version.model, str(version.version), description=_description(card_markdown)
            )

    def _ensure_model(self, model: str) -> None:
        from mlflow.exceptions import MlflowException

        with self.tracking.calls(f"create the registered model {model}"):
            try:
                self.tracking.client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def _model(self, model: str) -> Any:
        from mlflow.exceptions import MlflowException

        with self.tracking.calls(f"read the registered model {model}"):
            try:
                return self.tracking.client.get_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        raise MissingReference(f"model {model} is not registered; materialize {model}/registered_model first")

    def _all(self, model: str) -> "list[ModelVersion]":
        # MLflow's filters cannot quote a quote; no registered model has one in its name.
        if "'" in model:
            return []
        found: list[ModelVersion] = []
        token = None
        with self.tracking.calls(f"list versions of {model}"):
            while True:
                page = self.tracking.client.search_model_versions(f"name='{model}'", page_token=token)
                found.extend(page)
                token = page.token
                if not token:
                    break
        return sorted(found, key=lambda version: int(version.version))

    def _version(self, model: str, version: int | str) -> "ModelVersion":
        registered = self._model(model)
        known = self._all(model)
        name = str(version)
        number = name if name.isdigit() else str(registered.aliases.get(name, ""))
        for candidate in known:
            if str(candidate.version) == number:
                return candidate
        numbers = ", ".join(str(candidate.version) for candidate in known) or "none"
        aliases = ", ".join(sorted(registered.aliases)) or "none"
        kind = "version" if name.isdigit() else "alias"
        raise MissingReference(
            f"model {model} has no {kind} {name}; take one of the versions {numbers} or aliases {aliases}"
        )

    def _tag(self, model: str, version: int, key: str, value: str) -> None:
        with self.tracking.calls(f"tag {model} version {version}"):
            self.tracking.client.set_model_version_tag(model, str(version), key, value)

    def _ref(self, version: "ModelVersion", reference: ModelRef | None = None) -> VersionRef:
        tags = version.tags
        needed = (SHA_TAG, APPROVAL_TAG, LEDGER_TAG)
        if absent := [tag for tag in needed if tag not in tags]:
            raise PlatformError(
                f"model {version.name} version {version.version} lacks the tags {', '.join(absent)}; not "
                "registered by this platform; delete it or register the model under another name"
            )
        assert version.run_id
        reference = reference or self.tracking.model_ref(version.run_id)
        if reference.sha256 != tags[SHA_TAG]:
            raise PlatformError(
                f"model {version.name} version {version.version}: run {version.run_id} holds model "
                f"{reference.sha256[:12]}, the version names {tags[SHA_TAG][:12]}; register the model again"
            )
        return VersionRef.model_validate(
            {
                # Not from the tags that repeat them, for people who look in MLflow.
                "run_id": reference.run_id,
                "provenance": reference.provenance,
                "model": version.name,
                "version": int(version.version),
                "sha256": tags[SHA_TAG],
                "mlflow_run_id": version.run_id,
                # Another value is somebody's, and approves nothing.
                "approval": tags[APPROVAL_TAG] if tags[APPROVAL_TAG] in APPROVALS else "pending",
                "ledger_head": tags[LEDGER_TAG],
                "model_ref": reference,
            }
        )


def _told(reference: ModelRef) -> dict[str, str]:
    """What the tags of a version tell of its training."""
    return {
        MANIFEST_TAG: reference.manifest_sha256,
        RUN_TAG: reference.run_id,
        PROVENANCE_TAG: reference.provenance.model_dump_json(),
    }


def _description(card: str) -> str:
    if len(card) <= DESCRIPTION_LIMIT:
        return card
    more = f"\n\n(The whole card is the artifact {CARD_ARTIFACT} of the run.)"
    return card[: DESCRIPTION_LIMIT - len(more)].rpartition("\n")[0] + more


def _names(reference: ModelRef) -> tuple[str, str]:
    """By what the code of a model is loaded."""
    return reference.task, reference.format


def _require_alike(version: VersionRef, reference: ModelRef) -> None:
    """Raise PlatformError where equal bytes are of another task: gates of one say nothing about the other."""
    if not same_task((version.model_ref.task, version.model_ref.code), (reference.task, reference.code)):
        raise PlatformError(
            f"{version.model}: version {version.version} has the same file ({version.sha256[:12]}) and was judged as "
            f"{version.model_ref.task}, not as {reference.task}; change a parameter, or give the model a new name"
        )
