"""Any estimator of scikit-learn's interface, saved by skops: no pickle, equal bytes for equal trainings."""

import inspect
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.objects import load_object
from ml_platform.models.sklearn import unknown_types
from ml_platform.models.task import Task
from ml_platform.training.trainer import Frames, Trained, labelled_rows

#: Libraries whose types are recorded by themselves in a model that they have just fitted; others have to be declared.
OWN_TYPES = ("numpy", "scipy", "sklearn")
#: Arguments that say how much work a training is, the first that an estimator has.
WORK = ("max_iter", "n_estimators")
#: Date of every entry of the file, the first that a zip can hold.
EPOCH = (1980, 1, 1, 0, 0, 0)


class Step(BaseModel):
    """A class and its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    estimator: str = Field(pattern=r"^[\w.]+:\w+$", description="Class, as module:Class.")
    arguments: dict[str, JsonValue] = Field(default={}, description="Its arguments, by name.")


class SklearnParameters(Step):
    """An estimator, what prepares its features, and its seed."""

    preprocessing: tuple[Step, ...] = Field(default=(), description="Transformers before it, in order.")
    trusted: tuple[str, ...] = Field(
        default=(), description="Types of other libraries that the file may hold, by full name."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="random_state of every step that has one.")


class SklearnTrainer:
    """One fit on the float64 matrix of all rows in memory."""

    version: ClassVar[int] = 1
    equal_versions: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn", "skops")
    Parameters: ClassVar[type[SklearnParameters]] = SklearnParameters

    def check(self, parameters: BaseModel, task: Task) -> None:
        """The estimator has to be one, to fit the task, and to take the arguments."""
        self._made(self._own(parameters), task)

    def rounds(self, parameters: BaseModel) -> int | None:
        """Iterations or trees, where the estimator counts them."""
        found = self._counted(self._own(parameters))
        return found[1] if found else None

    def limited(self, parameters: BaseModel, rounds: int) -> SklearnParameters:
        """With fewer iterations or trees."""
        own = self._own(parameters)
        found = self._counted(own)
        if not found or found[1] <= rounds:
            return own
        return own.model_copy(update={"arguments": {**own.arguments, found[0]: rounds}})

    def _counted(self, parameters: SklearnParameters) -> tuple[str, int] | None:
        known = inspect.signature(_class(parameters)).parameters
        for name in (name for name in WORK if name in known):
            asked = parameters.arguments.get(name, known[name].default)
            # -1 says that nothing limits them.
            if isinstance(asked, int) and asked > 0:
                return name, asked
        return None

    def train(
        self,
        frames: Frames,
        names: Sequence[str],
        target: str,
        task: Task,
        parameters: BaseModel,
        work: Path,
        threads: int,
    ) -> Trained:
        """A fitted estimator, or a pipeline that ends in one; in one thread, whatever ``threads``.

        Raises PlatformError for a type of another library in it that is not declared as trusted, by its name.
        """
        import numpy as np
        from threadpoolctl import threadpool_limits

        own = self._own(parameters)
        estimator = self._made(own, task)
        rows = labelled_rows(frames, names, target, task)
        y = rows.y if task.output == "value" else rows.y.astype(np.int64)
        # Sums by BLAS depend on the number of its threads, and histogram trees keep theirs in the model: one always.
        with threadpool_limits(1):
            try:
                estimator.fit(rows.x.astype(np.float64), y)
            except ValueError as error:
                raise PlatformError(
                    f"training: {own.estimator} cannot be fitted ({str(error).strip().splitlines()[0]}); change the "
                    "arguments or the preprocessing"
                ) from error
        file, types = saved(estimator, work)
        foreign = [name for name in types if name.partition(".")[0] not in OWN_TYPES and name not in own.trusted]
        if foreign:
            raise PlatformError(
                f"training: {own.estimator} holds {', '.join(foreign)}, which would not be loaded again; list what you "
                "trust under parameters.trusted"
            )
        return Trained(file, "skops", len(rows.y), rows.dropped, types)

    def _own(self, parameters: BaseModel) -> SklearnParameters:
        return SklearnParameters.model_validate(parameters, from_attributes=True)

    def _made(self, parameters: SklearnParameters, task: Task) -> Any:
        from sklearn.base import is_classifier, is_regressor
        from sklearn.pipeline import make_pipeline

        final = _instance(parameters, parameters.seed)
        fits = is_regressor(final) if task.output == "value" else is_classifier(final)
        if not fits or (task.output != "value" and not hasattr(final, "predict_proba")):
            wanted = "a regressor" if task.output == "value" else "a classifier with predict_proba"
            raise PlatformError(f"parameters: {parameters.estimator} is not {wanted}, which {task.name} takes")
        before = [_instance(step, parameters.seed) for step in parameters.preprocessing]
        for step, made in zip(parameters.preprocessing, before, strict=True):
            if not hasattr(made, "transform"):
                raise PlatformError(f"parameters: {step.estimator} transforms nothing; take it off the preprocessing")
        return make_pipeline(*before, final) if before else final


def _class(step: Step) -> type:
    found = load_object(step.estimator, "parameters.estimator")
    if not isinstance(found, type):
        raise PlatformError(f"parameters: {step.estimator} is not a class; name one as module:Class")
    return found


def _instance(step: Step, seed: int) -> Any:
    kind = _class(step)
    known = inspect.signature(kind).parameters
    if unknown := sorted(set(step.arguments) - set(known)):
        raise PlatformError(f"parameters: {step.estimator} takes no {', '.join(unknown)}; it has {', '.join(known)}")
    seeded = {"random_state": seed} if "random_state" in known else {}
    return kind(**{**seeded, **step.arguments})


def saved(estimator: Any, work: Path) -> tuple[Path, tuple[str, ...]]:
    """A fitted estimator as a file of the format ``skops`` in the folder ``work``, and its ``Trained.types``.

    Those are the types in it that skops does not trust by itself. For trainers of one's own too.

    Equal estimators give equal bytes; histogram trees keep the number of threads they were fitted with.
    """
    from skops.io import dumps

    file = work / "model.skops"
    file.write_bytes(reproducible(dumps(estimator)))
    return file, tuple(unknown_types(file, ()))


def reproducible(content: bytes) -> bytes:
    """A skops file in which nothing is left of the process that wrote it: addresses as names, dates, order.

    skops names objects by their address. They are numbered in the order of the document instead; texts and numbers
    each get one of their own, since whether equal ones are one object is chance.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
        numbers: dict[int, int] = {}
        files: dict[str, str] = {}
        taken = iter(range(1, 2**63))

        def renamed(node: Any) -> Any:
            if isinstance(node, list):
                return [renamed(item) for item in node]
            if not isinstance(node, Mapping):
                return node
            found = dict(node)
            if "__id__" in found:
                plain = found.get("__loader__") == "JsonNode"
                found["__id__"] = next(taken) if plain else _once(numbers, found["__id__"], taken)
            if isinstance(found.get("file"), str) and "__loader__" in found:
                suffix = Path(found["file"]).suffix
                found["file"] = files.setdefault(found["file"], f"{len(files) + 1}{suffix}")
            return {key: renamed(value) for key, value in found.items()}

        schema = renamed(schema)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
            for old, new in files.items():
                written.writestr(zipfile.ZipInfo(new, EPOCH), archive.read(old), zipfile.ZIP_DEFLATED)
            text = json.dumps(schema, separators=(",", ":"))
            written.writestr(zipfile.ZipInfo("schema.json", EPOCH), text, zipfile.ZIP_DEFLATED)
    return target.getvalue()


def _once(numbers: dict[int, int], key: int, taken: Any) -> int:
    if key not in numbers:
        numbers[key] = next(taken)
    return numbers[key]
