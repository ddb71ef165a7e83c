"""The two ``defs.yaml``: of dataset and features, and of the model; thresholds with what was seen beside them."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from ml_platform.creating.plan import HOLDOUT, Plan
from ml_platform.creating.roles import Roles
from ml_platform.creating.schema_text import class_name
from ml_platform.creating.tables import Table
from ml_platform.gates.every_kind import Gate
from ml_platform.proving.suggest import limit, span
from ml_platform.sources.partitions import CUT_OFF

if TYPE_CHECKING:
    import polars as pl

#: From here on a column is often missing, and has a gate with others like it.
_OFTEN = 0.1
#: Share of rows that may break a rule and be set aside, before a batch is refused.
QUARANTINE = 0.02

#: Share of a partition that a later delivery may change, as in the scaffold.
CORRECTED = 0.05
#: A column that no table has.
_FLAG = "\x00flag"


def dataset_text(plan: Plan, table: Table, package: str, features: Sequence[str], history: Sequence[str] = ()) -> str:
    """``defs.yaml`` of the dataset and its features; ``package`` holds schema and features.

    ``features`` are the gates of those, ``history`` the gates on batches that the table's past proposes.
    """
    roles = plan.roles
    source = dict(table.source)
    if plan.timed:
        source |= table.found.partitioned(roles.timestamp or roles.time)
    if roles.timestamp:
        source["days"] = {roles.time: roles.timestamp}
    if roles.row_id:
        source["row_id"] = roles.row_id
    partitions = f'{{every: {plan.every}, start: "{plan.begins}"}}' if plan.timed else "none"
    lag = plan.label_delay + 1
    rows = f"{roles.frame.height:,} rows of {len(table.frame.columns)} columns"
    lines = [
        "type: ml_platform.Dataset",
        "attributes:",
        f"  name: {plan.name}",
        f"  description: {flow(f'{rows} from {table.found.said}')}",
        f"  source: {flow(source)}",
        f"  schema: {package}.schema:{class_name(plan.name)}",
        f"  partitions: {partitions}",
        f"  key: {flow([*roles.key])}",
        *([f"  time: {flow(roles.time)}"] if plan.timed else []),
        f"  quarantine: {{max: {QUARANTINE}}}   # rows beyond a range are set aside, up to this share",
        "  gates:",
        *(f"    {line}" for line in (*_batch_gates(plan), *history)),
        "---",
        "type: ml_platform.FeatureSet",
        "attributes:",
        f"  dataset: {plan.name}",
        f"  description: {flow(f'What is known of a row of {plan.name} when a prediction is asked for')}",
        f"  function: {package}.features:features",
        *([f"  history_lag: {lag}   # days until an outcome may enter the past means"] if plan.timed else []),
        "  gates:",
        *(f"    {line}" for line in features),
        "",
    ]
    return "\n".join(lines)


def parameters(rows: int) -> dict[str, float]:
    """Parameters of the generated model for a table of so many rows."""
    if rows < 3_000:
        return {"rounds": 100, "max_depth": 3, "eta": 0.1, "min_child_weight": 2, "subsample": 0.8, "seed": 7}
    return {"rounds": 200, "max_depth": 6, "eta": 0.05, "min_child_weight": 20, "subsample": 0.8, "seed": 7}


def model_text(plan: Plan, gates: Sequence[str], seen: str, threshold: float | None, rounds: int | None = None) -> str:
    """``defs.yaml`` of the model. ``gates``: their lines; ``seen``: where the thresholds are from; ``rounds`` that did
    best, by itself the usual ones."""
    roles = plan.roles
    sized = parameters(roles.frame.height)
    fewer = rounds is not None and rounds < sized["rounds"]
    if fewer:
        sized = {**sized, "rounds": rounds}
    more = []
    if roles.task == "binary":
        base = base_rate(roles)
        more = [f"  decision_threshold: {threshold:g}   # {base:.1%} of the rows are positive"]
    if roles.task == "multiclass":
        more = [f"  classes: {flow([*roles.classes])}"]
    group = [f"    group: {flow([*roles.group])}   # their rows are never parted"] if roles.group else []
    split = (
        [
            f"    holdout: {plan.holdout}       # newest of {len(plan.partitions)} {plan.every}s, never trained on",
            *(
                [f"    label_delay: {plan.label_delay}   # days; the newest are none of both"]
                if plan.label_delay
                else []
            ),
            "    refused: list   # a refused one is left out, and named",
        ]
        if plan.timed
        else [
            f"    holdout: {HOLDOUT}   # of the {'groups' if roles.group else 'rows'}, by a hash; never trained on",
            *group,
        ]
    )
    return "\n".join(
        [
            "type: ml_platform.Model",
            "attributes:",
            f"  name: {plan.model}",
            f"  description: {flow(_question(plan))}",
            *_folded("purpose", _purpose(plan)),
            *_folded("limits", _limits(plan)),
            f"  features: {plan.name}/features",
            f"  target: {plan.label}",
            f"  task: {roles.task}",
            *more,
            "  split:",
            *split,
            f"  parameters: {flow(sized)}{'   # more rounds did worse on rows not seen' if fewer else ''}",
            *(f"  # {line}" for line in textwrap.wrap(seen, 110)),
            "  gates:",
            *(f"    {line}" for line in gates),
            "",
        ]
    )


def gate_line(gate: Mapping[str, Any], comment: str = "") -> str:
    """A gate as a line of ``gates:``."""
    text = f"gate: {gate['gate']}" if set(gate) == {"gate"} else flow(dict(gate))
    return f"- {text}{f'   # {comment}' if comment else ''}"


def flow(value: Any) -> str:
    """A value in the flow style of YAML, on one line."""
    import yaml

    return (
        str(yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True))
        .removesuffix("...\n")
        .strip()
    )


def _batch_gates(plan: Plan) -> list[str]:
    lines = [gate_line({"gate": "schema"}), gate_line({"gate": "rules", "max": 0})]
    lines += [gate_line(*one) for one in _missing_gates(plan)]
    lines.append(gate_line(*_duplicates(plan)))
    if plan.timed:
        lines.append(gate_line({"gate": "window"}))
        lines.append(gate_line(*volume(list(plan.partitions.values()))))
        lines.append(gate_line({"gate": "correction", "max": CORRECTED}, "of a partition that is delivered again"))
    return lines


def _duplicates(plan: Plan) -> tuple[dict[str, Any], str]:
    """No row twice; where there are stray copies already, as many as in the worst partition."""
    import polars as pl

    worst = _worst(plan, pl.struct(*plan.roles.key).is_first_distinct().not_())
    if not worst:
        return {"gate": "duplicates", "max": 0}, ""
    gate = {"gate": "duplicates", "max": math.ceil(worst * 1_000) / 1_000}
    return gate, f"{seen_as([worst], gate)} seen; 0 once they are out"


def _missing_gates(plan: Plan) -> list[tuple[dict[str, Any], str]]:
    """One gate for columns that are seldom missing, one for those that often are."""
    import polars as pl

    roles = plan.roles
    # An outcome that comes late is not there when a batch arrives; any other is, and a batch without one is none.
    target = () if plan.label_delay else (roles.target,)
    names = [
        *(name for name in plan.inputs if roles.columns[name].nulls and name not in (*roles.key, roles.time)),
        *target,
    ]
    worst = {name: _worst(plan, pl.col(name).is_null()) for name in names}
    found: list[tuple[dict[str, Any], str]] = []
    for title, chosen in (
        ("missing", {name: share for name, share in worst.items() if share < _OFTEN}),
        ("missing_often", {name: share for name, share in worst.items() if _OFTEN <= share < 0.9}),
        ("missing_outcome", {name: share for name, share in worst.items() if name in target and 0.9 <= share < 1}),
    ):
        if not chosen:
            continue
        high = max(chosen.values())
        bound = min(0.95, round(max(1.5 * high, high + 0.03) + 0.005, 2)) if high < 0.9 else (1 + high) / 2
        named = {} if title == "missing" else {"name": title}
        gate = {"gate": "missing", **named, "columns": [*chosen], "max": float(f"{bound:.6g}")}
        found.append((gate, f"at most {seen_as([high], gate)} seen"))
    return found


def _worst(plan: Plan, flag: "pl.Expr") -> float:
    """Largest share of rows with a flag in a partition, or in the whole."""
    import polars as pl

    frame, time = plan.roles.frame.with_columns(flag.alias(_FLAG)), plan.roles.time
    if not plan.timed:
        return float(frame[_FLAG].mean() or 0.0)  # type: ignore[arg-type]
    assert plan.every
    shares = frame.group_by(pl.col(time).dt.truncate(CUT_OFF[plan.every]).alias("partition")).agg(pl.col(_FLAG).mean())[
        _FLAG
    ]
    return max(shares.to_list(), default=0.0)


def volume(rows: Sequence[int]) -> tuple[dict[str, Any], str]:
    """The gate on the rows of a partition against the median of those before it, and what was seen."""
    seen = [count / median(rows[:place]) for place, count in enumerate(rows) if place]
    low, high = min(0.5, _down(limit(seen, "min"))), max(2.0, round(limit(seen, "max") + 0.05, 1))
    gate = {"gate": "volume", "min": low, "max": high}
    return gate, f"{seen_as(seen, gate)} seen"


def seen_as(values: Iterable[float], gate: Mapping[str, Any]) -> str:
    """What was seen, in two digits; in more where those would lie beyond the threshold."""
    return span(values, Gate.model_validate(gate), 2)


def _down(value: float) -> float:
    """A twentieth below, of less than that two digits."""
    if value >= 0.05:
        return int(value * 20) / 20
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.floor(value / step) * step:.6g}")


def base_rate(roles: Roles) -> float:
    """Share of the rows with a known target that are positive."""
    import polars as pl

    target = roles.frame[roles.target].drop_nulls()
    if roles.positive is None:
        return int(target.cast(pl.Int64).sum()) / target.len()
    return int((target.cast(pl.String) == roles.positive).sum()) / target.len()


def _question(plan: Plan) -> str:
    roles = plan.roles
    if roles.task == "binary":
        told = f" = {roles.positive}" if roles.positive is not None else ""
        return f"How likely is {roles.target}{told}?"
    return f"Which {roles.target} is it?" if roles.task == "multiclass" else f"What will {roles.target} be?"


def _purpose(plan: Plan) -> str:
    known = len([name for name in plan.inputs if name not in plan.roles.key])
    return f"Predict {plan.roles.target} of a row of {plan.name} from {known} columns that are known before it."


def _limits(plan: Plan) -> str:
    roles = plan.roles
    parts = []
    if plan.timed:
        days = roles.frame[roles.time]
        parts.append(f"Learnt from {days.min()} to {days.max()}; says nothing of times unlike these.")
    else:
        parts.append("Learnt from rows without a time: nothing is known of how it ages.")
    if roles.frame.height < 1_000:
        parts.append(f"Only {roles.frame.height} rows: every metric is rough.")
    if plan.pasts:
        parts.append("Values without a past count as the mean of all.")
    elif plan.categories or any(" == " in one.expression for one in plan.features):
        parts.append("Values that were not seen count as none of the known ones.")
    personal = [name for name, why in plan.left_out.items() if why.startswith("personal")]
    if personal:
        parts.append(f"Personal data ({', '.join(personal)}) is not used.")
    return " ".join(parts)


def _folded(key: str, text: str) -> Iterable[str]:
    line = f"  {key}: {flow(text)}"
    return [line] if len(line) <= 118 else [f"  {key}: >-", *(f"    {one}" for one in textwrap.wrap(text, 112))]
