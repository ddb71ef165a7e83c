"""From a table to files that are tried: profile, write aside, dry run, thresholds, and only then the project."""

import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from ml_platform.creating.columns import plain
from ml_platform.creating.declarations_text import dataset_text, gate_line, model_text
from ml_platform.creating.extremes import Extreme, carrying, notes_of
from ml_platform.creating.features_text import features_text
from ml_platform.creating.history_gates import history_gates
from ml_platform.creating.home import home
from ml_platform.creating.periods import Every, TooSparse
from ml_platform.creating.plan import Plan, plan_of
from ml_platform.creating.progress import telling
from ml_platform.creating.questions import Ask, Questions
from ml_platform.creating.quick import QuickFit
from ml_platform.creating.roles import Roles, Wishes, roles_of
from ml_platform.creating.schema_text import schema_text
from ml_platform.creating.tables import Table, read_table
from ml_platform.creating.thresholds import feature_gates, gates_of, no_better, not_nearer
from ml_platform.creating.trial import Tried, context_of, try_out, written_aside
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.declaration import NAME
from ml_platform.declarations.loading import find_mistakes
from ml_platform.declarations.reading import one_line, read_declarations
from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.files import write_atomic
from ml_platform.foundation.project import Project
from ml_platform.pipeline.workspace import Workspace

HALFWAY = "Thresholds lie halfway to a trivial model, or as far as the error of a holdout of this size asks for."


@dataclass
class Created:
    """What came out."""

    plan: Plan
    tried: Tried
    #: Files that were written, those that were there as they would be written, and those that a project needs once.
    written: list[str]
    unchanged: list[str]
    #: Whether the target is noise, so that nothing was written.
    noise: bool
    notes: list[str] = field(default_factory=list)
    #: A handful of rows that decides every metric of the target, where a model was told from nothing.
    extreme: Extreme | None = None


def create(
    where: str,
    wishes: Wishes,
    *,
    name: str = "",
    url_env: str = "",
    every: Every | None = None,
    force: bool = False,
    ask: Ask | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Created:
    """Make dataset, features and model of a table; nothing is written before it was tried on the real rows.

    ``where`` is a table or a query of a database where ``url_env`` names the variable with its URL. ``told`` gets a
    line for each step that takes a while. Raises PlatformError for what cannot be read, guessed or fulfilled, and where
    a file is there that says something else (``force`` writes it anew).
    """
    project = Project.find()
    project.make_importable()
    workspace = Workspace()
    with telling(told, "reading the table"):
        table = read_table(where, project.root, url_env, workspace.now())
    called = plain(name or table.name)
    if not re.fullmatch(NAME, called):
        raise PlatformError(f"--name: {called!r} is no name for assets: take lower-case letters, digits and _")
    told(f"read {table.frame.height:,} rows of {len(table.frame.columns)} columns")
    with telling(told, f"looking at {len(table.frame.columns)} columns") if ask is None else nullcontext():
        roles = roles_of(table, wishes, Questions(ask))
    if roles.row_id and not table.found.adds_row_id:
        raise PlatformError(
            f"{where}: no column identifies a row; name those that do with --key, or add one in a query"
        )
    try:
        plan = plan_of(called, roles, every, workspace.now())
    except TooSparse as error:
        if wishes.time or every:
            raise
        roles = roles_of(table, replace(wishes, timeless=True), Questions(None))
        roles.notes.append(f"{error}: the rows are divided by a hash, without time")
        plan = plan_of(called, roles, every, workspace.now())
    folder = project.defs_folder / called
    _free(project, plan)
    package = ".".join(folder.relative_to(project.code).parts)
    plan.roles.notes += notes_of(plan.roles, plan.inputs)
    with tempfile.TemporaryDirectory(prefix="ml-platform-new-") as work:
        texts, tried = _tried(plan, table, package, workspace, Path(work), told)
    target = (plan.roles.target,) if plan.roles.task == "regression" else ()
    if tried.noise:
        extreme = next(filter(None, (carrying(plan.roles, name) for name in target)), None)
        return Created(plan, tried, [], [], True, plan.roles.notes, extreme)
    plan.roles.notes += notes_of(plan.roles, target)
    files = {project.defs_folder / path: text for path, text in texts.items()}
    written, unchanged = _write(project, files, force)
    made = home(project)
    mistakes, _ = find_mistakes(project)
    ours = [line for line in mistakes if f"/{called}/" in line or f"/{plan.model}/" in line]
    if ours:
        raise PlatformError(f"what was written does not hold: {ours[0]}")
    return Created(plan, tried, [*written, *made], unchanged, False, plan.roles.notes)


def _tried(
    plan: Plan, table: Table, package: str, workspace: Workspace, work: Path, told: Callable[[str], None]
) -> tuple[dict[str, str], Tried]:
    """The texts by path below ``defs``, after a dry run; without a model where the target is noise."""
    code = {
        "__init__.py": f'"""Dataset {plan.name}: what a row must be like, and what is made of it."""\n',
        "schema.py": schema_text(plan),
        "features.py": features_text(plan, package),
    }
    threshold = _threshold(plan.roles)
    with written_aside(work, code) as aside:
        first = [gate_line({"gate": name}) for name in ("ranges", "leakage", "parity")]
        context = context_of(
            dataset_text(plan, table, aside, first), model_text(plan, ["- gate: disjoint"], "", threshold)
        )
        with telling(told, "trying schema, features and a quick fit on the real rows"):
            tried = try_out(plan, context)
        told(f"tried on the real rows: {tried.rows:,} keep the schema, {tried.features} features, a quick fit")
        features = feature_gates(tried.alone, plan.label)
        with telling(told, "trying gates on the table's own past") as at:
            history = history_gates(plan, context, workspace.now(), at)
        told(f"gates on batches from the table's own past: {len(history)}")
        texts = {f"{plan.name}/{file}": text for file, text in code.items()}
        texts[f"{plan.name}/defs.yaml"] = dataset_text(plan, table, package, features, history)
        if tried.noise:
            return texts, tried
        lines = [gate_line(*one) for one in gates_of(tried.fit, tried.first, timed=plan.timed)]
        seen = HALFWAY
        if plan.timed:
            data = dataset_text(plan, table, aside, features, history)
            draft = context_of(data, model_text(plan, lines, seen, threshold, tried.rounds))
            lines, seen = _from_windows(draft, workspace, work, tried.fit, lines, told)
        texts[f"{plan.model}/defs.yaml"] = model_text(plan, lines, seen, threshold, tried.rounds)
    return texts, tried


def _from_windows(
    context: ModelContext,
    workspace: Workspace,
    work: Path,
    fit: QuickFit,
    lines: list[str],
    told: Callable[[str], None],
) -> tuple[list[str], str]:
    """Thresholds from quick models on the newest windows, as scaffolds propose them; with too few windows, as given."""
    from ml_platform.proving.first import first_thresholds

    try:
        with telling(told, "training on windows of the past"):
            found, windows = first_thresholds(context, workspace, work / "windows", told)
    except PlatformError as error:
        told(f"no thresholds from windows of the past: {one_line(str(error))}")
        return lines, HALFWAY
    # What was not measured in windows, or is kept, keeps the comment that says why.
    judged = [(not_nearer(one, fit), line) for one, line in zip(found, lines, strict=True)]
    proposed = [line if one.proposed == one.declared else one.line() for one, line in judged if one]
    if no_better(found):
        told(
            f"in each of the {len(windows)} windows of the past the model was no better than a trivial one: the gate "
            "baseline would refuse them all. Where the time is not when a row was seen: --time COLUMN, or --time none"
        )
    return proposed, (
        f"Thresholds from what {len(windows)} windows showed, to {windows[0].last} up to {windows[-1].last}, and the "
        "first model; where a comment names a trivial model, halfway to it."
    )


def _threshold(roles: Roles) -> float | None:
    """From which probability on a row counts as positive: a half, or the base rate where one class is rare."""
    if roles.task != "binary":
        return None
    from ml_platform.creating.declarations_text import base_rate

    rate = base_rate(roles)
    return 0.5 if 0.3 <= rate <= 0.7 else max(0.01, min(0.99, float(f"{rate:.2g}")))


def _free(project: Project, plan: Plan) -> None:
    """Raises PlatformError where the names belong to something else."""
    for spec, document in read_declarations(project).declared:
        name = getattr(spec, "name", "")
        folder = Path(document.file).parent.name
        if name in (plan.name, plan.model) and folder != name:
            raise PlatformError(f"{name!r} is declared in {document.file} already; take another name with --name")


def _write(project: Project, texts: Mapping[Path, str], force: bool) -> tuple[list[str], list[str]]:
    """Write the files; those that are there and equal are left. Raises PlatformError before any is written."""
    shown = {path: str(path.relative_to(project.root)) for path in texts}
    other = [path for path in texts if path.exists() and path.read_text() != texts[path]]
    if other and not force:
        raise PlatformError(
            f"{shown[other[0]]} is there and says something else; take another name with --name, or write it anew with "
            "--force"
        )
    written = [path for path in texts if not path.exists() or path in other]
    for path in written:
        write_atomic(path, texts[path])
    return [shown[path] for path in written], [shown[path] for path in texts if path not in written]
