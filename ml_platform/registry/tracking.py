"""Experiment tracking: MLflow by its client only, with an explicit address and no global active run."""

import contextlib
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ml_platform.foundation import patience
from ml_platform.foundation.errors import MissingReference, PlatformError
from ml_platform.foundation.files import made, replacing, sha256_file, write_atomic
from ml_platform.foundation.locks import locked
from ml_platform.foundation.processes import is_dead, process_identity
from ml_platform.references.refs import ModelRef
from ml_platform.registry.place import follow

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

#: Artifact paths inside an MLflow run.
MODEL_FOLDER = "model"
MODEL_REF = "model_ref.json"
#: Tags of an MLflow run.
PROCESS_TAG = "ml_platform.process"
KEY_TAG = "ml_platform.training_key"

SQLITE = "sqlite:///"
#: Seconds to wait for another process that holds a lock of the tracking store.
LOCK_SECONDS = 120.0
#: More retries than these MLflow refuses.
MOST_RETRIES = 9


class Tracking:
    """An MLflow tracking store: a server (``http…``) or an SQLite file (``sqlite:///…``).

    ``artifact_root`` is where artifacts of an SQLite store go; with a server only the locks and the cache of
    downloaded models lie there. ``timeout`` (seconds) bounds one HTTP request.
    """

    def __init__(self, uri: str, artifact_root: Path, timeout: int = 10) -> None:
        self.uri = uri
        self.artifact_root = Path(artifact_root).resolve()
        self.timeout = timeout

    @property
    def database(self) -> Path | None:
        """The SQLite file; None where the store is a server."""
        return Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) else None

    @contextlib.contextmanager
    def lock(self, name: str, seconds: float = LOCK_SECONDS) -> Generator[None]:
        """Hold the lock ``name`` among the processes of this machine; a killed holder lets go of it.

        Raises PlatformError where another process holds it for longer than ``seconds``.
        """
        folder = self.artifact_root / ".locks"
        with locked(folder / (re.sub(r"[^\w.-]", "_", name) + ".lock"), seconds, "MLflow"):
            yield

    @cached_property
    def client(self) -> "MlflowClient":
        """The client; the first use creates the tables of an SQLite store, under a lock.

        Without the lock two processes that create the tables at once both fail.
        """
        # MLflow reads these at every request; its defaults wait for minutes when a server is down.
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(self.timeout)
        os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"] = "1"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        import logging

        from mlflow.tracking import MlflowClient

        # It tells of every table it creates, on the user's terminal.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        database = self.database
        if database is None:
            # It prints the address of each run that ends.
            parts = urlsplit(self.uri)
            if parts.username is not None:
                os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
                os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
            return MlflowClient(tracking_uri=self.address, registry_uri=self.address)
        made(database.parent)
        with self.lock("initialise"), self.calls("initialise the store"):
            if not database.exists():
                self._create(database)
            elif database.resolve().parent == self.artifact_root.parent:
                follow(database, self.artifact_root)
            # Seconds a writer waits for another one (SQLite's own default is 5).
            uri = f"{self.uri}?timeout=60"
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
        return client

    def _create(self, database: Path) -> None:
        """Make the tables beside the final place and move them there whole.

        MLflow migrates its tables in many steps, and cannot go on with what a killed process left half done.
        """
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        with replacing(database) as temporary:
            store = SqlAlchemyStore(f"{SQLITE}{temporary}", self.artifact_root.as_uri())
            store.engine.dispose()
            with contextlib.closing(sqlite3.connect(temporary)) as connection:
                # Readers and one writer do not lock each other out; the mode is kept in the file.
                connection.execute("PRAGMA journal_mode=WAL")

    def _wait(self) -> None:
        """Let the next requests wait for a server that is away; MLflow reads this at each."""
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(_retries(patience.patience(self.address)))

    @contextlib.contextmanager
    def calls(self, what: str) -> Generator[None]:
        """Turn a failure of MLflow inside the block into one PlatformError that says ``what`` failed."""
        self._wait()
        try:
            yield
            patience.answered(self.address)
        except Exception as error:
            if not _of_mlflow(error):
                raise
            if _is_away(error):
                patience.in_vain(self.address)
            raise PlatformError(
                f"MLflow at {self.address}: cannot {what} ({_reason(error)}); check that the address in "
                "ML_PLATFORM_MLFLOW_TRACKING_URI is right and that the store runs"
            ) from error

    @property
    def address(self) -> str:
        """The address without user name and password, for messages."""
        return _without_credentials(self.uri)

    def experiment(self, name: str) -> str:
        """The id of the experiment ``name``, created where it does not exist.

        Raises PlatformError for a deleted experiment.
        """
        with self.calls(f"open experiment {name}"):
            found = self.client.get_experiment_by_name(name)
        if found is None:
            with self.lock("experiments"), self.calls(f"create experiment {name}"):
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    place = (self.artifact_root / name).as_uri() if self.database else None
                    return self.client.create_experiment(name, artifact_location=place)
        if found.lifecycle_stage != "active":
            raise PlatformError(f"MLflow: experiment {name} was deleted; restore it with `mlflow experiments restore`")
        return found.experiment_id

    @contextlib.contextmanager
    def attempt(self, experiment: str, *, run_name: str, tags: Mapping[str, str]) -> Generator[str]:
        """Start an MLflow run in the experiment of that name, yield its id and end it with its true status.

        FINISHED when the block succeeds, FAILED when it raises an ``Exception``, KILLED when it is
        interrupted. A process that dies leaves it RUNNING until :meth:`end_dead_attempts`.
        """
        experiment_id = self.experiment(experiment)
        with self.calls("start a run"):
            run = self.client.create_run(
                experiment_id, run_name=run_name, tags={**tags, PROCESS_TAG: process_identity()}
            )
        run_id: str = run.info.run_id
        try:
            yield run_id
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            try:
                self.client.set_terminated(run_id, status)
            except Exception as second:
                # The first error is the one to act on; the run is ended by `end_dead_attempts`.
                error.add_note(f"MLflow run {run_id} could not be set {status}: {second}")
            raise
        with self.calls(f"end run {run_id}"):
            self.client.set_terminated(run_id, "FINISHED")

    def end_dead_attempts(self, experiment: str) -> list[str]:
        """Set the RUNNING runs KILLED whose process on this host is gone; returns their ids.

        Runs of other hosts and runs without the process tag are left alone.
        """
        experiment_id = self.experiment(experiment)
        ended = []
        for run in self.search(experiment_id, "attributes.status = 'RUNNING'"):
            if is_dead(run.data.tags.get(PROCESS_TAG, "")):
                with self.calls(f"end run {run.info.run_id}"):
                    self.client.set_terminated(run.info.run_id, "KILLED")
                ended.append(run.info.run_id)
        return ended

    def search(self, experiment_id: str, filter_string: str) -> "list[Run]":
        """Every run of the experiment that meets the filter, oldest first."""
        runs: list[Run] = []
        token = None
        with self.calls("search runs"):
            while True:
                page = self.client.search_runs(
                    [experiment_id], filter_string, order_by=["attributes.start_time ASC"], page_token=token
                )
                runs.extend(page)
                token = page.token
                if not token:
                    return runs

    def trained(self, experiment: str, *training_keys: str) -> "Iterator[Run]":
        """FINISHED runs with one of these training keys, the first first, the oldest first, whose model file and
        reference exist."""
        experiment_id = self.experiment(experiment)
        wanted = (f"attributes.status = 'FINISHED' and tags.`{KEY_TAG}` = '{key}'" for key in training_keys)
        for run in (run for one in wanted for run in self.search(experiment_id, one)):
            with self.calls(f"list artifacts of run {run.info.run_id}"):
                here = {item.path for item in self.client.list_artifacts(run.info.run_id)}
                model = {item.path for item in self.client.list_artifacts(run.info.run_id, MODEL_FOLDER)}
            if MODEL_REF in here and any(path.startswith(f"{MODEL_FOLDER}/model.") for path in model):
                yield run

    def log(
        self,
        run_id: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write parameters, metrics and tags of a run in one request."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        with self.calls(f"write to run {run_id}"):
            self.client.log_batch(
                run_id,
                metrics=[Metric(key, float(value), now, 0) for key, value in (metrics or {}).items()],
                params=[Param(key, str(value)) for key, value in (parameters or {}).items()],
                tags=[RunTag(key, str(value)) for key, value in (tags or {}).items()],
            )

    def log_artifact(self, run_id: str, name: str, content: bytes | str) -> str:
        """Store ``content`` as the artifact ``name`` (may hold folders); returns its ``runs:/`` URI."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            path = write_atomic(Path(temporary) / file, content)
            with self.calls(f"store artifact {name} of run {run_id}"):
                self.client.log_artifact(run_id, str(path), folder or None)
        return f"runs:/{run_id}/{name}"

    def read_artifact(self, run_id: str, name: str) -> bytes:
        """The bytes of an artifact. Raises MissingReference where the run does not have it."""
        with tempfile.TemporaryDirectory() as temporary:
            return self._download(run_id, name, Path(temporary)).read_bytes()

    def model_ref(self, run_id: str) -> ModelRef:
        """The reference that a training run left behind. Raises MissingReference; PlatformError for a damaged one."""
        try:
            return ModelRef.model_validate_json(self.read_artifact(run_id, MODEL_REF))
        except ValueError as error:
            raise PlatformError(
                f"MLflow run {run_id}: its {MODEL_REF} is no reference of a training "
                f"({str(error).splitlines()[0]}); restore it from a backup, or train again"
            ) from error

    def model_path(self, reference: ModelRef) -> Path:
        """A local, verified copy of the model file.

        Raises MissingReference where MLflow no longer has the file, PlatformError where its bytes do not
        have the sha256 of the reference.
        """
        cached = self.cached(reference)
        if cached.exists() and sha256_file(cached) == reference.file_hash:
            return cached
        with tempfile.TemporaryDirectory() as temporary:
            found = self._download(reference.mlflow_run_id, artifact_of(reference), Path(temporary))
            actual = sha256_file(found)
            if actual != reference.file_hash:
                raise PlatformError(
                    f"model {reference.model}: {reference.uri} has sha256 {actual[:12]}, not the recorded "
                    f"{reference.file_hash[:12]}; delete MLflow run {reference.mlflow_run_id} and train again"
                )
            with replacing(cached) as target:
                shutil.copyfile(found, target)
        return cached

    def cached(self, reference: ModelRef) -> Path:
        """Where :meth:`model_path` keeps the model file."""
        return self.artifact_root / ".cache" / reference.file_hash / artifact_of(reference).rpartition("/")[2]

    def _download(self, run_id: str, name: str, folder: Path) -> Path:
        # The client answers with an error of the storage behind it, which differs for each storage.
        self._wait()
        try:
            return Path(self.client.download_artifacts(run_id, name, str(folder)))
        except Exception as error:
            if not (_of_mlflow(error) or isinstance(error, OSError)):
                raise
            raise MissingReference(
                f"MLflow at {self.address}: artifact {name} of run {run_id} cannot be read "
                f"({_reason(error)}); restore the artifact store, or train again"
            ) from error


def artifact_of(reference: ModelRef) -> str:
    """Path of the model file among the artifacts of its run."""
    return reference.uri.split("/", 2)[2]


def _of_mlflow(error: Exception) -> bool:
    """Whether MLflow, its HTTP client or its database raised the error."""
    modules = {base.__module__.partition(".")[0] for base in type(error).__mro__}
    return bool(modules & {"mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3"})


def _retries(seconds: float) -> int:
    """How many retries of MLflow last that long: the first comes at once, the pauses behind it are 2, 4, 8 … s."""
    return next(number for number in range(MOST_RETRIES + 1) if number == MOST_RETRIES or 2**number - 2 >= seconds)


def _is_away(error: BaseException | None) -> bool:
    """Whether a server did not answer at all: MLflow wraps what its HTTP client, requests, says of that."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        kinds = {(base.__module__.partition(".")[0], base.__name__) for base in type(error).__mro__}
        if kinds & {("requests", "ConnectionError"), ("requests", "Timeout")}:
            return True
        seen.add(id(error))
        error = error.__context__
    return False


def _without_credentials(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return _without_credentials(lines[0])[:300]
