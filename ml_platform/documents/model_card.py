"""The model card: what a registered version is for, what it was made of, how it was judged.

After Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ml_platform.foundation.errors import PlatformError
from ml_platform.references.refs import ManifestEntry, ModelRef

if TYPE_CHECKING:
    from ml_platform.evaluation.evaluation import ChampionEvidence, Evaluation
    from ml_platform.gates.gate import Verdict

#: Heading of the decisions on the version, which come after the card was written.
APPROVALS = "## Approvals"


def render(
    evaluation: "Evaluation",
    reference: ModelRef,
    *,
    verdicts: "Sequence[Verdict]",
    purpose: str,
    limits: str,
    approvals: Sequence[Mapping[str, Any]] = (),
    owners: Sequence[str] = (),
) -> str:
    """The card as Markdown; equal input gives equal text. Of a refit ``evaluation`` is that of the judged model.

    ``purpose`` and ``limits`` are the owner's words; ``approvals`` have ``status``, ``by``, ``reason``
    and ``at``.
    """
    split, code = reference.split, reference.provenance
    lines = [
        f"# {reference.model}",
        "",
        purpose.strip() or "No purpose is declared.",
        "",
        *_table(
            ("", ""),
            [
                ("task", reference.task),
                ("target", reference.target),
                ("features", str(len(reference.features))),
                ("model file (sha256)", reference.file_hash),
                *((f"code of its {part}", version) for part, version in reference.code.items()),
                ("MLflow run", reference.mlflow_run_id),
                ("split manifest (sha256)", reference.manifest_sha256),
                ("code commit", code.code_commit + (" with uncommitted changes" if code.dirty else "")),
                ("dependency lock (sha256)", code.lock_sha256),
                ("Python", code.python),
                ("seed", str(reference.seed)),
                *([("owners", ", ".join(owners))] if owners else []),
            ],
        ),
        "",
        "## Data",
        "",
        f"Feature set `{split.dataset}`. Training: {_span(split.train)}. Holdout: {_span(split.holdout)}.",
        *_refit(reference),
    ]
    if split.refused:
        lines += ["", f"Refused by the gates and left out: {', '.join(split.refused)}."]
    parts = [("training", split.train), ("holdout", split.holdout)]
    lines += [
        "",
        *_table(
            ("partition", "part", "rows", "dataset commit", "sha256"),
            [
                (entry.label, part, f"{entry.rows:,}", entry.commit[:12], entry.sha256[:12])
                for part, entries in parts
                for entry in entries
            ],
        ),
        "",
        "## Performance on the holdout",
        "",
        *_whose(reference),
        *_table(
            ("metric", "model", *(name.replace("_", " ") for name in evaluation.baselines)),
            [
                (
                    name.replace("_", " "),
                    _number(value),
                    *(_number(baseline.get(name)) for baseline in evaluation.baselines.values()),
                )
                for name, value in evaluation.metrics.items()
            ],
        ),
        "",
        *_champion(evaluation.champion),
        "",
        "## Groups",
        "",
        *_weakest(evaluation),
        "",
        "## Fairness",
        "",
        *_fairness(evaluation),
        "",
        "## Verdicts",
        "",
        *_table(
            ("gate", "status", "observed", "threshold", "reason"),
            [(v.gate, v.shown, _number(v.observed), v.threshold, v.reason) for v in verdicts],
        ),
        "",
        "## Limits",
        "",
        limits.strip() or "No limits are declared.",
        "",
        APPROVALS,
        "",
        *_approvals(approvals),
        "",
        "## Parameters",
        "",
        *_table(("parameter", "value"), [(key, str(value)) for key, value in reference.parameters.items()]),
    ]
    return "\n".join(lines) + "\n"


def with_approvals(card: str, approvals: Sequence[Mapping[str, Any]]) -> str:
    """A card with other approvals and nothing else changed. Raises PlatformError where it has no place for them."""
    before, heading, after = card.rpartition(f"\n{APPROVALS}\n")
    if not heading:
        raise PlatformError(f"the model card has no section {APPROVALS!r}; register the model again")
    _, following, rest = after.partition("\n## ")
    return "\n".join([before, APPROVALS, "", *_approvals(approvals), ""]) + following + rest


def _approvals(approvals: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = ("status", "by", "reason", "at")
    return _table(columns, [tuple(_number(one.get(key)) for key in columns) for one in approvals])


def _champion(evidence: "ChampionEvidence | None") -> list[str]:
    if evidence is None:
        return ["There was no champion to compare with."]
    rows = [
        (
            c.metric.replace("_", " "),
            _number(c.candidate),
            _number(c.champion),
            f"{c.difference:+.4g} ({c.lower:+.4g} to {c.upper:+.4g})",
        )
        for c in evidence.comparisons.values()
    ]
    header = ("metric", "model", "champion", "difference (95 % interval)")
    lines = [f"Champion {evidence.sha256[:12]}: {evidence.note}"]
    return [*lines, "", *_table(header, rows)] if rows else lines


def _weakest(evaluation: "Evaluation") -> list[str]:
    """The worst group with support of each slice column, by the first of the compared metrics."""
    task = evaluation.kind()
    metric = task.compared[0]
    pick = min if task.better[metric] else max
    rows = []
    for column, groups in evaluation.slices.items():
        known = [group for group in groups if group.get(metric) is not None]
        if known:
            worst = pick(known, key=lambda group: group[metric])
            rows.append((column, str(len(known)), worst["group"], f"{worst['rows']:,}", _number(worst[metric])))
    overall = _number(evaluation.metrics.get(metric))
    name = metric.replace("_", " ")
    return _table(("by", "groups with support", "weakest", "rows", f"{name} ({overall} overall)"), rows)


def _fairness(evaluation: "Evaluation") -> list[str]:
    """Disparities by Fairlearn's definitions, with their intervals, and how many groups they are computed from."""
    rows = [
        (
            column,
            name.replace("_", " ") + (f" of {found.of}" if found.of else ""),
            f"{found.value:.4g} ({found.lower:.4g} to {found.upper:.4g})",
            str(len(one.groups)),
            str(len(one.too_small)),
        )
        for column, one in evaluation.fairness.items()
        for name, found in one.disparities.items()
    ]
    if not rows:
        return ["Not measured: no groups are declared that are large enough, or the model decides nothing."]
    return _table(("between groups of", "disparity", "value (95 % interval)", "groups", "too small to count"), rows)


def _refit(reference: ModelRef) -> list[str]:
    """What a refit learned from, and what the model that was judged for it did."""
    if reference.judged is None:
        return []
    one, judged = reference.judged, reference.judged.split
    return [
        "",
        "This is a refit: after a model had passed, its recipe was trained once more on everything up to the newest "
        f"label. The judged model, {one.sha256[:12]} (MLflow run {one.mlflow_run_id}, manifest {judged.sha256[:12]}), "
        f"learned from {_span(judged.train)} and was judged on {_span(judged.holdout)}.",
    ]


def _whose(reference: ModelRef) -> list[str]:
    if reference.judged is None:
        return []
    return [
        f"These metrics, like groups, fairness and the comparison with the champion, are those of the judged model "
        f"{reference.judged.sha256[:12]}. Those of the refit nobody knows before new outcomes come: it has learned "
        "from these ones.",
        "",
    ]


def _span(entries: Sequence[ManifestEntry]) -> str:
    if not entries:
        return "nothing"
    rows = sum(entry.rows for entry in entries)
    if part := entries[0].part:
        return f"of {rows:,} rows {part.shown}"
    return f"{rows:,} rows of {entries[0].first} to {entries[-1].last}"


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["None."]

    def line(cells: Sequence[str]) -> str:
        # A bar or a line break inside a cell would end it.
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(header), line(["---"] * len(header)), *map(line, rows)]
