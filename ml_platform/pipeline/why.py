"""One answer to why something is refused, stale, not live or not trained again, and what to do next.

Read from store, ledger, registry, references and rollout records; nothing is judged, made or written.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from ml_platform.datasets import batches
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.declarations.context import ModelContext
from ml_platform.declarations.dataset import DatasetSpec
from ml_platform.features.materialize import Stale
from ml_platform.foundation.errors import DeclarationError, MissingReference, PlatformError
from ml_platform.foundation.names import meant
from ml_platform.gates.stages import Stage
from ml_platform.gates.verdict import Verdict
from ml_platform.ledger.chain import Broken
from ml_platform.pipeline import approval, candidate, current_splits, data, going_live
from ml_platform.pipeline.answering import answering, strange, under_way
from ml_platform.pipeline.champions import promotions
from ml_platform.pipeline.judging import batch_gates, feature_gates, held_by, model_gates
from ml_platform.pipeline.materializer import materializer_of
from ml_platform.pipeline.published import published_batches
from ml_platform.pipeline.workspace import Workspace
from ml_platform.references.refs import SplitRef

RUN = "ml-platform run"
#: How the answer begins where something answers that nobody approved: whatever else is true comes after it.
STRANGE = "what answers is not an approved package"


class Answer(NamedTuple):
    """What is true of something, why, and the command that comes next."""

    name: str
    #: In a few words.
    state: str
    #: A sentence for each reason, that of what was refused first.
    because: tuple[str, ...] = ()
    #: Commands; empty where nothing is to be done.
    next: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """All of it, for people."""
        return [
            f"{self.name}: {self.state}",
            *(f"  because {one}" for one in self.because),
            *(f"  next: {one}" for one in self.next),
        ]

    @property
    def text(self) -> str:
        """Its lines in one text."""
        return "\n".join(self.lines)


def why(workspace: Workspace, catalogue: Catalogue, name: str) -> Answer:
    """The answer for a dataset, ``dataset/partition``, model, ``model@version`` or ``model/deployment``.

    Raises PlatformError, naming what there is, for any other name; MissingReference for an unknown version.
    """
    owner, _, rest = name.partition("/")
    model, _, version = name.partition("@")
    if name in catalogue.datasets:
        return _dataset(workspace, catalogue, catalogue.datasets[name])
    if name in catalogue.models:
        return _model(workspace, ModelContext.of(catalogue, name))
    if owner in catalogue.datasets and rest:
        # Also as assets and verdicts name it: flights/batch/2013-03-01.
        spec, key = catalogue.datasets[owner], rest.rpartition("/")[2]
        return _gone(workspace, spec, key, partition(workspace, catalogue, spec, key))
    if owner in catalogue.models and rest == "deployment":
        return _deployment(workspace, owner)
    if model in catalogue.models and version.isdigit():
        return _version(workspace, ModelContext.of(catalogue, model), int(version))
    known = [*catalogue.datasets, *catalogue.models]
    parts = [f"{one}/{name}" for one, spec in catalogue.datasets.items() if _is_key(spec, name)]
    raise PlatformError(
        f"there is no {name!r}; ask for a dataset, DATASET/PARTITION, a model, MODEL@VERSION or MODEL/deployment of "
        f"{', '.join(known)}{f'; did you mean {parts[0]!r}?' if parts else meant(owner, known)}"
    )


def _is_key(spec: DatasetSpec, name: str) -> bool:
    try:
        return bool(spec.partitions.named(name))
    except DeclarationError:
        return False


def _gone(workspace: Workspace, spec: DatasetSpec, key: str, answer: Answer) -> Answer:
    """The answer for one partition, with a word where it is published and its source does not offer it any more."""
    if not answer.state.startswith("published"):
        return answer
    try:
        offered = workspace.source(spec).partitions()
    except PlatformError as error:
        return answer._replace(because=(*answer.because, f"its source cannot be asked: {error}"))
    if key in offered:
        return answer
    because = (
        "its source does not offer it any more; what was published stays, and is trained on, until it is withdrawn"
    )
    out = f"ml-platform data rollback {spec.name} {key} --withdraw --reason TEXT"
    return answer._replace(because=(*answer.because, because), next=tuple(dict.fromkeys((*answer.next, out))))


def _said(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """A sentence for each verdict that holds back."""
    for verdict in verdicts:
        if verdict.holds_back:
            # Many reasons say what was asked for themselves.
            asked = "" if verdict.threshold in verdict.reason else f" (threshold: {verdict.threshold})"
            yield f"gate {verdict.gate} {verdict.shown}: {verdict.reason}{asked}"


def _override(verdicts: Iterable[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        if verdict.holds_back:
            yield f"ml-platform override {verdict.gate} {verdict.subject_name} --by NAME --reason TEXT --days 7"


def partition(workspace: Workspace, catalogue: Catalogue, spec: DatasetSpec, key: str) -> Answer:
    """The answer for one partition of a dataset."""
    name, again = f"{spec.name}/{key}", f"{RUN} --from {key} --to {key}"
    there = published_batches(workspace, spec.name)
    held = data.refused(workspace, spec).get(key, [])
    if held:
        state = "refused" if key not in there else f"published ({there[key].sha256[:12]}); a correction is refused"
        return Answer(name, state, tuple(_said(held)), (f"correct it at its source, then {again}", *_override(held)))
    if key not in there:
        if key in batches.candidates(workspace.store, spec.name):
            return Answer(name, "waits", ("it is staged, and not judged as declared now",), (again,))
        if key in workspace.source(spec).partitions():
            return Answer(name, "not ingested", ("it is at its source, and no run has taken it",), (again,))
        try:
            spec.partitions.named(key)
        except DeclarationError as error:
            return Answer(name, "unknown", (str(error),))
        if around := spec.partitions.around(key):
            return Answer(
                name, "unknown", (f"it lies in the partition {around}",), (f"ml-platform why {spec.name}/{around}",)
            )
        offered = sorted(workspace.source(spec).partitions())
        newest = f"the newest there is {offered[-1]}" if offered else "there is none"
        return Answer(name, "unknown", (f"its source does not offer it; {newest}",))
    sha256 = there[key].sha256
    gates = batch_gates(workspace, spec)
    known = workspace.ledger.judgement(f"{spec.prefix}{key}", sha256, gates)
    if wrong := [known[gate] for gate in held_by(known, gates)]:
        if {one.gate for one in wrong} <= data.let_in(workspace, spec, key, sha256):
            return Answer(name, "published, since a person let it pass", tuple(_said(wrong)))
        out = f"ml-platform data rollback {spec.name} {key} --withdraw --reason TEXT"
        because = (*_said(wrong), "no split is made with it until it is corrected or withdrawn")
        return Answer(name, "published, and would be refused now", because, (out,))
    lacking = tuple(_features(workspace, catalogue, spec, key))
    return Answer(
        name, "published, without its features" if lacking else "published", lacking, (again,) * bool(lacking)
    )


def _features(workspace: Workspace, catalogue: Catalogue, spec: DatasetSpec, key: str) -> Iterator[str]:
    """What the feature sets of a published partition lack, a sentence each."""
    for item in (one for one in catalogue.features.values() if one.dataset == spec.name):
        materializer = materializer_of(workspace, item, spec)
        try:
            ref = workspace.references.load(item.key, key)
            materializer.check_current(ref, materializer.partition_state())
        except MissingReference:
            yield f"{item.key} was never made of it"
            continue
        except Stale as stale:
            yield str(stale)
            continue
        gates = feature_gates(workspace, item, spec)
        known = workspace.ledger.judgement(f"{item.key}/{key}", ref.sha256, gates)
        yield from _said(known[gate] for gate in held_by(known, gates))


def _dataset(workspace: Workspace, catalogue: Catalogue, spec: DatasetSpec) -> Answer:
    there = sorted(published_batches(workspace, spec.name))
    keys = sorted({*there, *data.refused(workspace, spec), *workspace.source(spec).partitions()})
    found = [_read(f"{spec.name}/{key}", partial(partition, workspace, catalogue, spec, key)) for key in keys]
    open_ones = [one for one in found if one.because]
    state = f"{len(there)} of {len(keys)} partitions published" + (f", the newest {there[-1]}" if there else "")
    because = tuple(f"{one.name} is {one.state}: {'; '.join(one.because)}" for one in open_ones)
    return Answer(spec.name, state, because, tuple(dict.fromkeys(one.next[0] for one in open_ones if one.next)))


def _read(name: str, look: Callable[[], Answer]) -> Answer:
    """An answer that is one of several, all of which are given."""
    try:
        return look()
    except Broken:
        raise  # of the ledger: no other answer would hold
    except PlatformError as error:
        return Answer(name, "not known", (f"it cannot be read: {error}",))


def _model(workspace: Workspace, context: ModelContext) -> Answer:
    """Why a model is not trained on what is published, or what was trained is not what answers."""
    name = context.model.name
    live = _deployment(workspace, name)
    if live.state.startswith(STRANGE):
        return live._replace(name=name)
    split: SplitRef | None = workspace.latest(f"{name}/split")
    if split is None:
        return Answer(name, "never trained", ("nobody asked for it, or no features were there",), (RUN,))
    newer = _newer(workspace, context, split)
    newest = candidate.newest(workspace, context)
    gates = model_gates(workspace, context, "split")
    refused = workspace.ledger.judgement(f"{name}/split", split.sha256, gates)
    held = [refused[gate] for gate in held_by(refused, gates)]
    trained_to = split.train[-1].partition
    if held:
        return Answer(name, "not trained", tuple(_said(held)), tuple(_override(held)))
    if newer:
        because = (
            f"{', '.join(newer)} came after the training up to {trained_to} (held out {split.holdout[-1].partition})"
        )
        return Answer(name, "not trained on the newest data", (because, *live.because), (RUN,))
    if unfinished := _unfinished(workspace, name, split):
        return Answer(name, *unfinished, next=(RUN,))
    if newest is not None and newest.status in ("rejected", "errored", "unjudged"):
        held = list(_holding(workspace, context, newest.judged, newest.sha256))
        said = tuple(_said(held)) or (newest.said,)
        state = f"the candidate trained up to {trained_to} is {newest.status}; {live.state}"
        return Answer(name, state, said, tuple(_override(held)) or (RUN,))
    version = workspace.registry.latest(name)
    if version is None:
        return Answer(name, "trained, not registered", ("no run went on after the training",), (RUN,))
    of_version = _version(workspace, context, version.version)
    return Answer(name, f"version {version.version}: {of_version.state}", of_version.because, of_version.next)


def _unfinished(workspace: Workspace, name: str, split: SplitRef) -> tuple[str, tuple[str, ...]] | None:
    """The step that has not ended since the split was made, as state and reason; None where both have."""
    trained, evaluated = workspace.latest(f"{name}/model"), workspace.latest(f"{name}/evaluation")
    to = f"up to {split.train[-1].partition}"
    if trained is None or trained.manifest_sha256 != split.sha256:
        return "not trained", (f"a split {to} was made, and no training on it came to its end",)
    if evaluated is None or evaluated.manifest_sha256 != split.sha256:
        return "trained, not evaluated", (f"no evaluation of the model trained {to} came to its end",)
    return None


def _newer(workspace: Workspace, context: ModelContext, split: SplitRef) -> list[str]:
    """Published partitions, beginning with the first that was used, whose features the split does not have."""
    used = {entry.partition: entry.sha256 for entry in split.learned}
    there = workspace.references.all(context.feature_set.key)
    published_now = published_batches(workspace, context.dataset.name)
    first = min(used)
    return sorted(
        key
        for key, ref in there.items()
        if key >= first and key in published_now and key not in split.refused and used.get(key) != ref.sha256
    )


def _version(workspace: Workspace, context: ModelContext, number: int) -> Answer:
    """Why a version is not approved, or does not answer."""
    model = context.model.name
    version, name = workspace.registry.get(model, number), f"{model}@{number}"
    decision = approval.standing(workspace, version)
    if decision.status == "rejected":
        said = tuple(_said(_holding(workspace, context, version.model_ref.evaluated.sha256, version.sha256)))
        return Answer(name, decision.said, said or (f"{decision.by}: {decision.reason}",), (RUN,) if said else ())
    if decision.status == "pending":
        approve = f"ml-platform approve {name} --by NAME --reason TEXT"
        newer = current_splits.superseded(workspace, version.model_ref.evaluated.split)
        older = (f"it was judged on an older split: {newer}",) if newer else ()
        return Answer(name, "waits for a person", (decision.reason, *older), (approve,))
    record = workspace.rollouts.load(model) if model in workspace.rollouts.models() else None
    stable = record.stable if record else None
    if stable is not None and stable.version == number:
        live = _deployment(workspace, model)
        # Under this number, and yet perhaps not its package.
        state = live.state if live.state.startswith(STRANGE) else f"approved; {live.state}"
        return Answer(name, state, live.because, live.next)
    service = workspace.latest(f"{model}/service")
    if service is not None and service.version == number:
        gates = model_gates(workspace, context, "service")
        known = workspace.ledger.judgement(f"{model}/service", service.sha256, gates)
        if held := [known[gate] for gate in held_by(known, gates)]:
            return Answer(name, "approved, its service is refused", tuple(_said(held)), (RUN, *_override(held)))
    if record is not None and record.candidate is not None and record.candidate.version == number:
        return Answer(name, "approved, takes over", (under_way(record),), (f"ml-platform rollout status {model}",))
    beside = f"version {stable.version} answers" if stable else "no version answers"
    if (hold := going_live.held(workspace, version, going_live.newest_package(workspace, version))) is not None:
        return Answer(name, f"approved, {hold.short}", (beside, hold.said), hold.next)
    if any(one.version == number for one in promotions(workspace, model)):
        back = f"ml-platform rollout rollback {model} --to {number} --by NAME --reason TEXT"
        return Answer(name, "approved, answered before", (beside,), (back,))
    return Answer(name, "approved, not live", (f"{beside}; this one was never deployed",), (RUN,))


def _holding(workspace: Workspace, context: ModelContext, judged: str, refit: str) -> Iterator[Verdict]:
    """The verdicts that hold back a judged model, then those on its refit, where that is another content."""
    about: list[tuple[Stage, str, str]] = [("evaluation", "model", judged), ("refit", "refit", refit)]
    for stage, name, sha256 in about:
        gates = model_gates(workspace, context, stage)
        known = workspace.ledger.judgement(f"{context.model.name}/{name}", sha256, gates)
        yield from (known[gate] for gate in held_by(known, gates))


def _deployment(workspace: Workspace, model: str) -> Answer:
    """What answers for a model, or why nothing does."""
    from ml_platform.rollout.processes import read_state

    name = f"{model}/deployment"
    if model not in workspace.rollouts.models():
        return Answer(name, "not live", ("no version was ever deployed",), (RUN,))
    record, state = workspace.rollouts.load(model), read_state(workspace.settings)
    going = (under_way(record),) if record.candidate is not None else ()
    if record.stable is None:
        last = record.change
        gone = (
            f"{last.action.replace('_', ' ')} by {last.who}: {last.why}" if last is not None else "nothing is deployed"
        )
        hold = next((one for one in going_live.holds(workspace, model) if one.whole), None)
        if hold is not None and not going:
            return Answer(name, "not live", (hold.said,), hold.next)
        return Answer(name, "not live", going or (gone,), () if going else (RUN,))
    service, url, phase = answering(state, model)
    if phase != "live":
        start = "ml-platform serve --detach"
        if not state.running:
            stopped = "a person stopped it" if state.stopped else "it runs on another machine, or has ended"
            return Answer(name, "not live", (f"the supervisor does not run here ({stopped})",), (start,))
        error = service.error if service is not None and service.error else f"its process is {phase}"
        return Answer(name, "not live", (f"version {record.stable.version}: {error}",), (start,))
    if said := strange(workspace, model, record.stable.version, record.stable.sha256):
        state = f"{STRANGE} (version {record.stable.version} at {url})"
        return Answer(name, state, (said, *going), (RUN, "ml-platform stop"))
    return Answer(name, f"version {record.stable.version} answers at {url}", going)
