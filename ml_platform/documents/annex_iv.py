"""Technical documentation of a version by the sections of Annex IV of Regulation (EU) 2024/1689 (the AI Act).

What ledger, manifest, card and declarations know is filled in. What only people know is named, with what is wanted and
whom to ask: an item is never filled with words that nobody said.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ml_platform.documents.dossier import Dossier, Material
from ml_platform.ledger.itself import accepted

if TYPE_CHECKING:
    from ml_platform.ledger.chain import Entry

#: Titles of the sections.
SECTIONS = {
    "1": "General description of the AI system",
    "2": "Elements of the AI system and process of its development",
    "3": "Monitoring, functioning and control",
    "4": "Appropriateness of the performance metrics",
    "5": "Risk management system (Article 9)",
    "6": "Changes through the lifecycle",
    "7": "Harmonised standards applied",
    "8": "EU declaration of conformity (Article 47)",
    "9": "Post-market monitoring (Article 72)",
}


class Item(NamedTuple):
    """One thing that the annex asks for."""

    #: ``1(a)``.
    number: str
    title: str
    #: What is known; empty: nothing.
    text: str = ""
    #: What only people know, besides.
    wanted: str = ""


def render(dossier: Dossier) -> tuple[str, list[Item]]:
    """The document as Markdown, and the items in which something is wanted of people; equal input gives equal text."""
    found = list(items(dossier))
    owners = ", ".join(dossier.declared["owners"]) or "nobody: the model declares no `owners`"
    lines = [
        f"# {dossier.name}: technical documentation",
        "",
        f"By the sections of Annex IV of Regulation (EU) 2024/1689, as known on {dossier.at}. What the platform knows "
        "is bound by content hashes; `attestations.jsonl` has the statements, `bom.cdx.json` the materials. Which of "
        "it has to be said, and whether it is enough, is for people to judge.",
    ]
    section = ""
    for item in found:
        if (number := item.number.partition("(")[0]) != section:
            section = number
            lines += ["", f"## {section}. {SECTIONS[section]}"]
        lines += ["", f"### {item.number} {item.title}", ""]
        if item.text:
            lines += [item.text]
        if item.wanted:
            lines += [*([""] if item.text else []), f"**Not filled:** {item.wanted}. To be said by: {owners}."]
    return "\n".join(lines) + "\n", [item for item in found if item.wanted]


def items(dossier: Dossier) -> Iterable[Item]:
    """Every item, in the order of the annex."""
    reference, declared, evaluation = dossier.version.model_ref, dossier.declared, dossier.evaluation
    code = reference.provenance
    purpose, limits = declared["purpose"], declared["limits"]
    packaged = "\n".join(f"- package `{sha256}`" for sha256 in dossier.packages)
    yield Item(
        "1(a)",
        "Intended purpose, provider, version",
        f"{f'{purpose} ' if purpose else ''}Version {dossier.version.version} of `{reference.model}` (sha256 of its "
        f"file `{reference.file_hash}`).",
        f"{'' if purpose else 'the intended purpose (`purpose` of the model), '}the name of the provider",
    )
    yield Item(
        "1(b)",
        "Interaction with other hardware and software",
        "An HTTP service that answers JSON; its pages `/` and `/docs.json` describe it." if packaged else "",
        "the systems that ask it and act on its answers",
    )
    pins = f"{len(dossier.pins)} packages with versions, in `bom.cdx.json`" if dossier.pins else "not here any more"
    yield Item("1(c)", "Versions of software", f"Python {code.python}; dependency lock `{code.lock_sha256}`: {pins}.")
    yield Item("1(d)", "Forms in which it is put into service", packaged, "" if packaged else "it was never packaged")
    yield Item("1(e)", "Hardware on which it is intended to run", wanted="the machines, and what they must have")
    yield Item("1(f)", "Products of which it is a component", wanted="photographs or drawings, or that there are none")
    yield Item(
        "1(g)",
        "User interface of the deployer",
        "The service's page `/`, with its columns and an example." if packaged else "",
        "the interface in which people see its answers",
    )
    yield Item("1(h)", "Instructions for use", "The model card, `model_card.md`.", "instructions for the deployer")
    yield Item(
        "2(a)",
        "Methods and steps of the development, pre-trained parts",
        f"Trained by `{reference.trainer}` (format `{reference.format}`) from the data of 2(d) and nothing else that "
        f"the platform gave it, with seed {reference.seed} and code commit `{code.code_commit}`"
        f"{' with uncommitted changes' if code.dirty else ''}. Parameters:\n\n"
        + _table(("parameter", "value"), [(key, str(value)) for key, value in reference.parameters.items()]),
        "third-party tools or models that the code uses" if ":" in reference.trainer else "",
    )
    threshold = declared["decision_threshold"]
    yield Item(
        "2(b)",
        "Design: logic, main choices, what it optimises",
        f"Task `{reference.task}`: predicts `{reference.target}` from {len(reference.features)} features "
        f"({', '.join(f'`{name}`' for name in reference.features)})."
        + (f" Decides from a probability of {threshold:g} on." if threshold is not None else ""),
        "the rationale and assumptions, also about the persons it is used on, and trade-offs that were made",
    )
    yield Item("2(c)", "Architecture and computational resources", wanted="the resources used for training and testing")
    yield Item("2(d)", "Data", _data(dossier), "how the data was obtained and selected, and how outcomes are labelled")
    people = [entry for entry in dossier.decisions if entry.body.get("by") not in (None, "", "gates")]
    yield Item(
        "2(e)",
        "Human oversight (Article 14)",
        _decisions(people) if people else "",
        "" if people else "no person decided on this version: who oversees it, and how its answers are interpreted",
    )
    yield Item("2(f)", "Pre-determined changes", _changes(dossier))
    yield Item("2(g)", "Validation and testing", _testing(dossier))
    yield Item(
        "2(h)",
        "Cybersecurity",
        "Model, data, verdicts and packages are bound by sha256. " + _ledger(dossier),
        "the measures of the system around it",
    )
    yield Item(
        "3",
        "Capabilities, limitations, accuracy for groups, input data",
        f"{limits}\n\n{_groups(dossier)}\n\n{_columns(dossier)}".strip(),
        "" if limits else "limits of its use (`limits` of the model), and risks that can be foreseen",
    )
    yield Item("4", "Why these metrics", wanted=f"why {', '.join(sorted(evaluation.metrics)[:6])} are the right ones")
    yield Item("5", "Risk management", wanted="the risk management system")
    yield Item("6", "Decisions and changes", _decisions(dossier.decisions) or "None is recorded.")
    yield Item("7", "Standards", wanted="the standards applied, or how the requirements are met without")
    yield Item("8", "Declaration", wanted="a copy of the declaration of conformity")
    yield Item(
        "9",
        "What is watched in use",
        _watched(dossier),
        "the post-market monitoring plan",
    )


def _data(dossier: Dossier) -> str:
    quarantine = dossier.declared["quarantine"]
    aside = f" Rows that break a rule are set aside, up to {quarantine:.2%}." if quarantine is not None else ""
    rows = [
        (one.label, one.part, f"{one.rows:,}", f"`{one.batch_sha256[:16]}`", f"`{one.batch_commit[:12] or 'gone'}`")
        for one in dossier.materials
    ]
    table = _table(("partition", "part", "rows", "batch (sha256)", "commit"), rows)
    passed = "Every batch passed the gates of 2(g)." if _all_passed(dossier.materials, dossier.verdicts) else ""
    return f"{f'{passed}{aside}'.strip()}\n\n{table}".strip()


def _all_passed(materials: Sequence[Material], verdicts: "Sequence[Entry]") -> bool:
    """Whether each batch has verdicts, and each blocking one let it pass by itself."""
    for one in materials:
        of_batch = [entry for entry in verdicts if entry.subject == one.batch_sha256]
        if not of_batch or any(entry.body["blocking"] and entry.body["status"] != "passed" for entry in of_batch):
            return False
    return True


def _testing(dossier: Dossier) -> str:
    evaluation = dossier.evaluation
    known = evaluation.intervals
    metrics = [
        (name, f"{value:.6g}", f"{known[name].lower:.4g} to {known[name].upper:.4g}" if name in known else "")
        for name, value in sorted(evaluation.metrics.items())
    ]
    said = [
        (
            entry.subject_name,
            entry.gate,
            entry.body["status"].replace("_", " ") + ("" if entry.body["blocking"] else " (warns)"),
            "" if entry.body["observed"] is None else f"{entry.body['observed']:.6g}",
            entry.body["threshold"],
            entry.at.isoformat(timespec="seconds"),
            str(entry.sequence),
        )
        for entry in dossier.verdicts
    ]
    return "\n\n".join(
        (
            f"On {evaluation.rows:,} rows that it did not learn from:",
            _table(("metric", "value", "95 % interval"), metrics),
            "Verdicts of the gates, by entry of the ledger:",
            _table(("on", "gate", "status", "observed", "threshold", "at", "entry"), said),
        )
    )


def _ledger(dossier: Dossier) -> str:
    """How far the ledger goes, since when it is signed, and what is lost of it."""
    anchor, told = dossier.ledger, [*dossier.verdicts, *dossier.decisions]
    text = f"The ledger had {anchor.length} entries, the newest `{anchor.head}`."
    if dossier.signed_since:
        older = sum(entry.sequence < dossier.signed_since for entry in told)
        text += f" Entries are signed from entry {dossier.signed_since} on (now with key `{anchor.key}`)"
        text += (
            f"; {older} of the {len(told)} told here are older and were not signed." if older else ", all told here."
        )
    else:
        text += " No entry of it is signed."
    gaps = [
        (str(entry.sequence), entry.at.isoformat(timespec="seconds"), accepted(entry.body)) for entry in dossier.gaps
    ]
    return text + (f"\n\nIt has gaps:\n\n{_table(('entry', 'at', 'what'), gaps)}" if gaps else "")


def _groups(dossier: Dossier) -> str:
    rows = [
        (column, str(row["group"]), f"{row['rows']:,}", *(f"{row[name]:.4g}" for name in _shown(row)))
        for column, groups in dossier.evaluation.slices.items()
        for row in groups
        if row["supported"] and _shown(row)
    ]
    if not rows:
        return ""
    names = next(_shown(row) for groups in dossier.evaluation.slices.values() for row in groups if _shown(row))
    return _table(("by", "group", "rows", *names), [row for row in rows if len(row) == len(names) + 3])


def _shown(row: dict[str, object]) -> list[str]:
    """The metrics of a slice that are known, three at most."""
    known = ("group", "rows", "supported")
    return [key for key, value in row.items() if key not in known and isinstance(value, float)][:3]


def _columns(dossier: Dossier) -> str:
    return _table(("column of a request", "type", "what"), [tuple(one) for one in dossier.declared["columns"]])


def _changes(dossier: Dossier) -> str:
    declared = dossier.declared
    return _table(("declared", "as"), [(key, declared[key]) for key in ("retrain", "rollout")])


def _watched(dossier: Dossier) -> str:
    declared = dossier.declared
    keys = ("drift", "retrain", "rollout")
    return _table(("declared", "as"), [(key, declared[key]) for key in keys if declared[key]])


def _decisions(entries: "Sequence[Entry]") -> str:
    rows = [
        (
            str(entry.sequence),
            entry.at.isoformat(timespec="seconds"),
            entry.kind,
            str(entry.body.get("by") or ""),
            str(entry.body.get("because") or ""),
        )
        for entry in entries
    ]
    return _table(("entry", "at", "what", "by", "why"), rows) if rows else ""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
