"""What this process has verified of a ledger: the whole chain once, from then on only what is new."""

import logging
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from threading import Lock

import sqlalchemy as sa

from ml_platform.foundation.database import waiting_for
from ml_platform.foundation.errors import PlatformError
from ml_platform.ledger.chain import Anchor, Broken, Chain
from ml_platform.ledger.entry_text import COLUMNS
from ml_platform.ledger.table import damaged, pages, require_as_declared

#: A place outside the ledger that notes how far it was: owners (datasets, models) to its anchors, newest first.
AnchorSource = Callable[[Collection[str]], Iterable[Anchor]]
#: How many anchors of each place are compared before a verdict is relied on; `ledger verify` compares all.
NEWEST = 3
_HASH = COLUMNS.index("hash")

_log = logging.getLogger(__name__)


class Verified:
    """The chain at one URL, as far as this process has verified it. Shared by every ledger at that URL."""

    def __init__(self) -> None:
        self._chain = Chain()
        self._guard = Lock()

    @waiting_for(lambda _, reader: reader)
    def follow(self, reader: sa.Engine) -> Chain:
        """Verify what is new since the last time; returns the chain. Raises Broken."""
        with self._guard, reader.connect() as connection:
            chain = self._chain
            if not len(chain):
                return self._anew(connection)
            # The newest entry that is known is read again: without it, or with another in its place, this is
            # another chain than before.
            expected: str | None = chain.head
            for rows in pages(connection, len(chain)):
                if expected is not None and rows[0][_HASH] != expected:
                    break
                chain.extend(rows if expected is None else rows[1:])
                expected = None
            return chain if expected is None else self._anew(connection)

    @waiting_for(lambda _, reader, **__: reader)
    def anew(self, reader: sa.Engine, every_signature: bool = False) -> Chain:
        """Verify the whole chain, whatever is known of it; returns it. Raises Broken."""
        with self._guard, reader.connect() as connection:
            found = self._anew(connection, every_signature)
            if why := damaged(connection):
                raise Broken(f"ledger: its database is damaged: {why}; restore the ledger from a backup")
            return found

    def _anew(self, connection: sa.Connection, every_signature: bool = False) -> Chain:
        require_as_declared(connection)
        found = whole(connection, every_signature)
        found.require_known(self._chain)
        self._chain = found
        return found


def whole(connection: sa.Connection, every_signature: bool = False) -> Chain:
    """The whole chain, verified by itself: without anchors, and without what this process knows. Raises Broken."""
    chain = Chain()
    for rows in pages(connection):
        chain.extend(rows, every_signature)
    return chain


def noted(sources: Iterable[AnchorSource], owners: Collection[str], newest: int | None = None) -> list[Anchor]:
    """Anchors of every place that can be reached, of each the newest ones; one that cannot be is named in the log."""
    found: list[Anchor] = []
    for source in sources:
        try:
            found.extend(islice(source(owners), newest))
        except PlatformError as error:
            _log.warning("ledger: not compared with a place that notes its head: %s", error)
    return found


_verified: dict[str, Verified] = {}


def verified_at(url: str) -> Verified:
    """What this process knows of the ledger at a URL."""
    return _verified.setdefault(url, Verified())
