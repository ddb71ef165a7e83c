"""What became of gates between two declarations: loosened, removed, tightened, added, or changed in no clear direction.

Declarations are compared as they were written down (:func:`written`), so that a kind which is gone can be compared too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ml_platform.foundation.files import canonical_json
from ml_platform.gates.gate import Gate

Direction = Literal["loosened", "removed", "changed", "tightened", "added"]
#: Directions that may let pass what did not pass before: what is not clearly tighter counts as looser.
LOOSER: tuple[Direction, ...] = ("removed", "loosened", "changed")

#: Lists of names.
_NAMES = ("columns", "increasing", "decreasing", "by", "but_for")
#: Those in which each name is judged by itself and the worst counts: more names let pass no more. Of any list that
#: stands neither here nor below, other names are another gate.
_MORE_IS_TIGHTER = {
    *((kind, "columns") for kind in ("missing", "referential", "labels", "association", "dependency", "counts")),
    *((kind, "columns") for kind in ("slices", "fairness", "single_feature", "distribution", "correction")),
    *(("monotonic", "increasing"), ("monotonic", "decreasing"), ("near_duplicates", "but_for")),
}
#: Those that exempt what they name, or name what has to agree for rows to be held against each other.
_FEWER_IS_TIGHTER = {("constancy", "columns"), ("dependency", "by"), ("near_duplicates", "columns")}
#: Where nothing is named, all are judged.
_ABSENT_IS_ALL = {("slices", "columns"), ("correction", "columns")}
#: Of these a share of the names is taken, to which every further name adds.
_SHARES = {("distribution", "share")}
#: What may be named in one of two ways: the other way is another gate.
_EITHER = ("near_duplicates",)
#: Here the order of the names says which is which.
_ORDERED = {("observation_age", "columns")}
#: Kinds in which a larger ``min_support`` leaves groups out; in others it asks for more evidence.
_LEAVES_OUT = ("slices",)

#: Version of the code of a kind of one's own, and of the files that it may read: another code measures something else.
CODE = "code"
#: What holds where nothing is given.
_USUAL = {"severity": "block", "min_support": 0}


class Change(NamedTuple):
    """One key of one gate (or of what gates read) that is declared otherwise than before."""

    #: Asset that the gate judges: ``churn/evaluation``.
    asset: str
    gate: str
    direction: Direction
    #: What was declared, and what is; empty for a gate that was not, or is not, declared.
    key: str
    before: str
    after: str

    @property
    def text(self) -> str:
        """The change in words."""
        if self.direction in ("removed", "added"):
            return f"{self.direction} ({self.before or self.after})"
        return f"{self.direction}: {self.key} {self.before or 'not given'} → {self.after or 'not given'}"

    @property
    def looser(self) -> bool:
        """Whether it may let pass what did not pass before."""
        return self.direction in LOOSER


def written(gate: Gate) -> dict[str, Any]:
    """A gate as it is kept with a registered version; one of a kind of one's own with the version of its code."""
    code = {CODE: gate.own_code} if gate.own_code else {}
    return {**gate.model_dump(mode="json", exclude_defaults=True), "name": gate.name, **gate.own_keys, **code}


def changes(asset: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Change]:
    """What became of the gates of one asset, as :func:`written` them; a gate that was only renamed has not changed."""
    found: list[Change] = []
    old, new = {gate["name"]: gate for gate in before}, {gate["name"]: gate for gate in after}
    for name in _renamed(old, new):
        old[name[1]] = {**old.pop(name[0]), "name": name[1]}
    for name, gate in old.items():
        if name not in new:
            found.append(Change(asset, name, "removed", "", _short(gate), ""))
        else:
            found += _compared(asset, gate, new[name])
    found += [Change(asset, name, "added", "", "", _short(gate)) for name, gate in new.items() if name not in old]
    return found


def _renamed(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Old and new name of gates that are the only one of their kind and metric on either side."""

    def alone(gates: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, Any], str]:
        names: dict[tuple[Any, Any], list[str]] = {}
        for gate in gates:
            names.setdefault((gate.get("gate"), gate.get("metric")), []).append(gate["name"])
        return {kind: one[0] for kind, one in names.items() if len(one) == 1 and kind[0]}

    gone = alone(gate for name, gate in old.items() if name not in new)
    come = alone(gate for name, gate in new.items() if name not in old)
    return [(name, come[kind]) for kind, name in gone.items() if kind in come]


def _compared(asset: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    if "declaration" in before:
        return _of_an_earlier_release(asset, before, after)
    keys = sorted({*before, *after} - {"name"})
    return [
        Change(asset, after["name"], _direction(after, key, *pair), key, _text(pair[0]), _text(pair[1]))
        for key in keys
        if not _equal(after, key, *(pair := (before.get(key, _USUAL.get(key)), after.get(key, _USUAL.get(key)))))
    ]


def _equal(gate: Mapping[str, Any], key: str, before: Any, after: Any) -> bool:
    if key in _NAMES and (gate.get("gate"), key) not in _ORDERED and before is not None and after is not None:
        return set(before) == set(after)
    return bool(before == after)


def _direction(gate: Mapping[str, Any], key: str, before: Any, after: Any) -> Direction:
    kind = str(gate.get("gate"))
    match key:
        case "min" | "max":
            lower = -float("inf") if key == "min" else float("inf")
            old, new = lower if before is None else before, lower if after is None else after
            return "tightened" if (new > old) == (key == "min") else "loosened"
        case "severity":
            return "loosened" if after == "warn" else "tightened"
        case "mode":
            return "tightened" if after == "superior" else "loosened"
        case "rate":
            return "tightened" if (after or 0) > (before or 0) else "loosened"
        case "min_support":
            return "tightened" if ((after or 0) > (before or 0)) != (kind in _LEAVES_OUT) else "loosened"
        case _:
            pass
    return _direction_of_names(gate, key, before, after) if key in _NAMES else "changed"


def _direction_of_names(gate: Mapping[str, Any], key: str, before: Any, after: Any) -> Direction:
    of = str(gate.get("gate")), key
    more, fewer = of in _MORE_IS_TIGHTER, of in _FEWER_IS_TIGHTER
    if not (more or fewer) or (of[0], gate.get("metric")) in _SHARES:
        return "changed"
    if before is None or after is None:
        if of[0] in _EITHER:
            return "changed"
        absent_is_stricter = of in _ABSENT_IS_ALL or fewer
        return "loosened" if (after is None) != absent_is_stricter else "tightened"
    old, new = set(before), set(after)
    if old < new or new < old:
        return "tightened" if (old < new) == more else "loosened"
    return "changed"


def _of_an_earlier_release(asset: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Compare with a verdict, which has threshold and severity in words and a hash of everything."""
    now = Gate.model_validate({key: value for key, value in after.items() if key != CODE})
    if before["declaration"] == now.declaration:
        return []
    found = []
    bounds = {"min": "at least", "max": "at most"}
    for key, words in bounds.items():
        old = re.search(rf"{words} (\S+)", before["threshold"])
        new = re.search(rf"{words} (\S+)", now.threshold)
        pair = (old and float(old[1]), new and float(new[1]))
        if pair[0] != pair[1]:
            direction = _direction(after, key, *pair)
            found.append(Change(asset, now.name, direction, key, _text(pair[0]), _text(pair[1])))
    if before["blocking"] != now.blocking:
        severity = ("warn", "block") if now.blocking else ("block", "warn")
        found.append(Change(asset, now.name, _direction(after, "severity", *severity), "severity", *severity))
    if not found:
        told = f"as {before['declaration'][:8]}"
        found.append(Change(asset, now.name, "changed", "declared", told, f"as {now.declaration[:8]}"))
    return found


def _short(gate: Mapping[str, Any]) -> str:
    if "threshold" in gate:
        return str(gate["threshold"])
    without = ("name", "gate", CODE)
    return ", ".join(f"{key} {_text(value)}" for key, value in sorted(gate.items()) if key not in without)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else canonical_json(value)
