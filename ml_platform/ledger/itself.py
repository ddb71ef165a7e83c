"""What has to be told of the ledger itself, in words: accepted gaps, and entries dated before earlier ones."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ml_platform.ledger.chain import ITSELF
from ml_platform.ledger.kinds import CONTINUATION

if TYPE_CHECKING:
    from ml_platform.ledger.chain import Entry
    from ml_platform.ledger.ledger import Ledger


def gaps(ledger: "Ledger") -> "list[Entry]":
    """Entries by which somebody accepted that something is lost, in order. Raises Broken."""
    return ledger.entries(subject_name=ITSELF, kind=CONTINUATION)


def accepted(body: dict[str, Any]) -> str:
    """What such an entry says."""
    lost = body["lost"]
    if not body["anchors"]:
        return f"{body['by']} accepted that the store lacks what was published before: {body['because']}"
    upto = f"up to {lost['to']}" if lost["to"] is not None else "up to an unknown end"
    return f"{body['by']} accepted that entries after {lost['after']} {upto} are lost: {body['because']}"


def backdated(ledger: "Ledger") -> list[str]:
    """Entries that are dated earlier than one before them, a line for each time that happened. Raises Broken."""
    found: list[str] = []
    for some in ledger.chain().times.backdated():
        first, last = some[0], some[-1]
        several = len(some) > 1
        told = (
            f"entries {first.sequence} to {last.sequence} are dated from {_time(min(one.at for one in some))} on"
            if several
            else f"entry {first.sequence} is dated {_time(first.at)}"
        )
        found.append(
            f"{told}, after entry {first.after} of {_time(first.counts)}: the clock was set back, or ahead before; "
            f"{'they count' if several else 'it counts'} from there"
        )
    return found


def brief(ledger: "Ledger") -> list[str]:
    """Both in a line each at most, for what is looked at every day. Raises Broken."""
    found: list[str] = []
    if lost := gaps(ledger):
        numbers = ", ".join(str(entry.sequence) for entry in lost)
        found.append(f"ledger: somebody accepted that entries or content are lost (entry {numbers})")
    if late := ledger.chain().times.backdated():
        count, first = sum(map(len, late)), late[0][0]
        found.append(f"ledger: {count} entries are dated before earlier ones, first entry {first.sequence}")
    return [f"{line}; see ml-platform ledger verify" for line in found]


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
