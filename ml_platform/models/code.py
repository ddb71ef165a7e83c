"""Which code a model predicts and answers with, beside its file: part of what the model is.

A model file says nothing without the code of its predictor and its task. Where that is a user's own, or a later number
of the platform's, its version is kept with the model and is part of its identity: another code is another model.
"""

from collections.abc import Callable, Mapping

from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.files import canonical_json, sha256_bytes
from ml_platform.foundation.objects import load_object
from ml_platform.foundation.user_code import of_platform, user_code_version
from ml_platform.models.predictor import predictor_path
from ml_platform.models.task import task_path

#: Names under which versions are kept.
TASK, PREDICTOR = "task", "predictor"
#: The number of a class that names none.
FIRST = 1
#: Version of what cannot be loaded.
GONE = "gone"
#: Stands between the version of a user's module and the class in it.
CLASS = ":"


def code_of(task: str, format: str) -> dict[str, str]:
    """Versions of the code of a declared task and of the predictor of a format.

    Left out is what the platform has had from the beginning, so that such models are known by their files alone.
    Raises DeclarationError where there is no such task or format.
    """
    versions = {TASK: _version(task_path(task), "task"), PREDICTOR: _version(predictor_path(format), "format")}
    return {name: version for name, version in versions.items() if version}


def changed(written: Mapping[str, str], task: str, format: str) -> list[str]:
    """The names under which a model was trained with other code than that of now; what cannot be loaded by the name
    that it had is other code."""
    paths = {TASK: (task_path, task), PREDICTOR: (predictor_path, format)}
    return [name for name, (path, named) in paths.items() if not same(written.get(name), _now(name, path, named))]


def _now(name: str, path: Callable[[str], str], named: str) -> str | None:
    try:
        return _version(path(named), name) or None
    except DeclarationError:
        return GONE


def same_task(one: tuple[str, Mapping[str, str]], other: tuple[str, Mapping[str, str]]) -> bool:
    """Whether two models are of one task, each by its name and the code that it was trained with: a task of a user's
    own is known by its code, so that its module may move."""
    (task, code), (another, its_code) = one, other
    return task == another or (TASK in code and code[TASK] == its_code.get(TASK))


def same(written: str | None, now: str | None) -> bool:
    """Whether a version that a model was trained with is that of now.

    Earlier releases named a user's module, and no class of it: which one predicts stands in the model's format.
    """
    return written == now or (written is not None and now is not None and written == now.partition(CLASS)[0])


def identity(file_sha256: str, code: Mapping[str, str]) -> str:
    """What a model is known by: the sha256 of its file, or where there is ``code`` that of both."""
    return sha256_bytes(canonical_json([file_sha256, dict(code)])) if code else file_sha256


def _version(path: str, key: str) -> str:
    # A class of a user's that inherits from one of the platform has its number as well.
    number = getattr(load_object(path, key), "version", FIRST)
    if of_platform(path):
        return "" if number == FIRST else str(number)
    # Two classes of one module answer otherwise by equal files.
    return f"{number}.{user_code_version(path)}{CLASS}{path.partition(':')[2]}"
