"""The repository on a lakeFS server: made where it is missing, protected, and with nothing committed ever collected."""

import json
from typing import Any

from ml_platform.datasets.lakefs.api import Connection, Declined
from ml_platform.datasets.names import check_repository
from ml_platform.datasets.store import MAIN, NotFound
from ml_platform.foundation.errors import StoreError

#: Days that commits are kept: for ever, in practice. lakeFS's collector knows neither tags nor the manifests,
#: versions and ledger entries that name a commit, and follows only first parents; so it must expire no commit.
#: It still removes what was uploaded but never committed.
RETENTION_DAYS = 36500
#: Patience of the first question, so that a wrong address is told within seconds.
FIRST_SECONDS = 3.0
_CONFLICT = 409


def open_repository(api: Connection, repository: str, storage_namespace: str = "", *, create: bool = True) -> None:
    """See that the server answers, the key is accepted and the repository exists.

    Where ``storage_namespace`` is given, the platform owns the repository: it is created there where it is
    missing, and :func:`protect` is brought about; neither without ``create``. Raises NotFound, Declined, Unavailable
    and InvalidName.
    """
    check_repository(repository)
    repositories = api.sdk.repositories_api
    try:
        api.call(
            f"repository {repository!r}",
            repositories.get_repository,
            repository,
            timeout_seconds=FIRST_SECONDS,
        )
    except NotFound as error:
        if "repository not found" not in str(error):
            raise StoreError(
                f"{api.address} answers, but not as lakeFS does ({error}): set ML_PLATFORM_LAKEFS_ENDPOINT to the "
                "address of a lakeFS server"
            ) from error
        if not storage_namespace:
            raise NotFound(
                f"repository {repository!r} does not exist on {api.address}: create it there, or set "
                "ML_PLATFORM_LAKEFS_STORAGE_NAMESPACE to a location in the object store and it is created"
            ) from None
        if not create:
            raise NotFound(
                f"repository {repository!r} does not exist on {api.address}: check ML_PLATFORM_REPOSITORY; "
                "ml-platform run creates it"
            ) from None
        _create(api, repository, storage_namespace)
    if storage_namespace and create:
        protect(api, repository)


def _create(api: Connection, repository: str, storage_namespace: str) -> None:
    from lakefs_sdk.models.repository_creation import RepositoryCreation

    what = f"repository {repository!r} in {storage_namespace!r}"
    wanted = RepositoryCreation(name=repository, storage_namespace=storage_namespace, default_branch=MAIN)
    try:
        made: Any = api.call(what, api.sdk.repositories_api.create_repository, wanted)
    except Declined as error:
        if error.status != _CONFLICT:
            raise
        # Another process was faster, or the answer to our first request was lost.
        made = api.call(what, api.sdk.repositories_api.get_repository, repository)
    if made.default_branch != MAIN:
        raise StoreError(f"{what} has the default branch {made.default_branch!r}; it must be {MAIN!r}")


def protect(api: Connection, repository: str) -> None:
    """Let ``main`` take merges only, and keep every commit. What is so already is not written again."""
    from lakefs_sdk.models.branch_protection_rule import BranchProtectionRule
    from lakefs_sdk.models.garbage_collection_rules import GarbageCollectionRules

    what, repositories = f"repository {repository!r}", api.sdk.repositories_api
    rules = api.call(what, repositories.get_branch_protection_rules, repository)
    if all(rule.pattern != MAIN for rule in rules):
        rules = [*rules, BranchProtectionRule(pattern=MAIN)]
        api.call(what, repositories.set_branch_protection_rules, repository, rules)
    if collects(api, repository):
        forever = GarbageCollectionRules(default_retention_days=RETENTION_DAYS, branches=[])
        api.call(what, repositories.set_gc_rules, repository, forever)


def collects(api: Connection, repository: str) -> bool:
    """Whether the rules let the server collect something that was committed."""
    url = api.url("repositories", repository, "settings", "gc_rules")

    # The client does not read the server's answer where no branch has a rule: it has null for the list.
    def ask(_request_timeout: tuple[float, float]) -> dict[str, Any]:
        with api.exchange("GET", url, headers=api.authorization(), timeout=_request_timeout) as answer:
            return json.loads(answer.data)

    try:
        rules = api.call(f"repository {repository!r}", ask)
    except NotFound:
        return True
    return bool(rules.get("branches")) or rules["default_retention_days"] < RETENTION_DAYS
