"""Branches, tags, commits and objects of a repository on a lakeFS server, by name."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ml_platform.datasets.embedded.pointers import check_path
from ml_platform.datasets.lakefs.api import Connection, Declined
from ml_platform.datasets.lakefs.transfer import object_info
from ml_platform.datasets.names import (
    COMMIT_ID,
    ancestor,
    check_commit_id,
    check_deletable,
    check_name,
    check_repository,
    taken,
    unknown,
)
from ml_platform.datasets.store import MAIN, NotFound, ObjectInfo
from ml_platform.foundation.errors import Corrupt

if TYPE_CHECKING:
    from lakefs_sdk.models.commit import Commit as ServerCommit

_REFERENCE = re.compile(r"[\w.-]+")
_CONFLICT, _GONE = 409, 410


class References:
    """The part of :class:`~ml_platform.datasets.lakefs.store.LakeFSStore` that finds and names things."""

    def __init__(self, api: Connection, repository: str, protected: tuple[str, ...]) -> None:
        self.repository = check_repository(repository)
        self.protected = frozenset(protected)
        self.api = api

    def _call(self, what: str, request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return self.api.call(what, request, self.repository, *arguments, **options)

    def resolve(self, ref: str) -> str:
        return self._commit(ref).id

    def _commit(self, ref: str) -> "ServerCommit":
        return self._call(self._named(ref), self.api.sdk.commits_api.get_commit, ref)

    def _named(self, ref: str) -> str:
        """How to name a reference in an error. Raises for one that the server could not hold."""
        base, _ = ancestor(ref)
        if not _REFERENCE.fullmatch(base):
            raise unknown(ref, self.repository)
        return f"reference {ref!r} of {self.repository}"

    def _head(self, branch: str) -> str:
        """Commit id of a branch, and of nothing else than a branch."""
        self._named(branch)
        held = self._call(f"branch {branch!r} of {self.repository}", self.api.sdk.branches_api.get_branch, branch)
        return str(held.commit_id)

    def create_branch(self, name: str, source: str = MAIN, *, exist_ok: bool = False) -> str:
        from lakefs_sdk.models.branch_creation import BranchCreation

        check_name("branch", name)
        target = self.resolve(source)

        def made() -> str | None:
            try:
                return target if self._head(name) == target else None
            except NotFound:
                return None

        request = BranchCreation(name=name, source=target)
        try:
            self._call(f"branch {name!r}", self.api.sdk.branches_api.create_branch, request, happened=made)
        except Declined as error:
            if error.status != _CONFLICT:
                raise
            if not exist_ok:
                raise taken("branch", name, f"in {self.repository}") from error
            return self._head(name)
        return target

    def delete_branch(self, name: str) -> None:
        check_deletable(name, self.protected)
        try:
            self._call(f"branch {name!r}", self.api.sdk.branches_api.delete_branch, name)
        except NotFound:
            return

    def branches(self, prefix: str = "") -> list[str]:
        listing = self.api.sdk.branches_api.list_branches
        return sorted(item.id for item in self.api.pages("branches", listing, self.repository, prefix=prefix))

    def tag(self, name: str, ref: str, *, exist_ok: bool = False) -> None:
        check_name("tag", name)
        self._tag(name, self.resolve(ref), exist_ok)

    def _tag(self, name: str, commit: str, exist_ok: bool) -> None:
        from lakefs_sdk.models.tag_creation import TagCreation

        def held() -> str | None:
            return self._tags(name).get(name)

        request = TagCreation(id=name, ref=commit)
        try:
            self._call(
                f"tag {name!r}",
                self.api.sdk.tags_api.create_tag,
                request,
                happened=lambda: commit if held() == commit else None,
            )
        except Declined as error:
            if error.status != _CONFLICT:
                raise
            named = held()
            if not exist_ok or named != commit:
                raise taken("tag", name, f"and names commit {named}") from error

    def tags(self, prefix: str = "") -> dict[str, str]:
        return {name: commit for name, commit in self._tags(prefix).items() if not COMMIT_ID.fullmatch(name)}

    def name_copy(self, commit_id: str, ref: str) -> None:
        """See :class:`~ml_platform.datasets.copying.CopyTarget`: a tag; the server looks for a commit first."""
        check_commit_id(commit_id)
        self._tag(commit_id, self.resolve(ref), exist_ok=True)

    def copies(self) -> dict[str, str]:
        """See :class:`~ml_platform.datasets.copying.CopyTarget`."""
        return {name: commit for name, commit in self._tags().items() if COMMIT_ID.fullmatch(name)}

    def _tags(self, prefix: str = "") -> dict[str, str]:
        listing = self.api.sdk.tags_api.list_tags
        found = self.api.pages("tags", listing, self.repository, prefix=prefix)
        return {item.id: item.commit_id for item in found}

    def stat(self, ref: str, path: str) -> ObjectInfo:
        self._named(ref)
        what = f"object {check_path(path)!r} at {ref!r} in {self.repository}"
        try:
            found = self._call(what, self.api.sdk.objects_api.stat_object, ref, path)
        except Declined as error:
            if error.status == _GONE:
                raise Corrupt(f"{path} at {ref}: its bytes are gone (collected by the server)") from error
            raise
        return object_info(path, found.size_bytes or 0, found.metadata)
