"""Broken code: feature functions, splits, trainings and packages as somebody might change them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.declarations.context import ModelContext
from ml_platform.features.contract import FeatureFunction
from ml_platform.gates.gate import Gate
from ml_platform.pipeline.steps import Steps
from ml_platform.pipeline.workspace import Workspace
from ml_platform.proving import faults
from ml_platform.proving.batches import mixed
from ml_platform.proving.substitutes import ChangedFunction
from ml_platform.training.split import Plan

if TYPE_CHECKING:
    import polars as pl

    from ml_platform.features.history import History
    from ml_platform.references.refs import ManifestEntry

#: Seed of everything that is shuffled.
SEED = 7
#: What can be wrong in a training, with the holdout among what it is given.
TRAINING = (
    "labels are shuffled in training",
    "training is on noise",
    "the target is a feature, in training and evaluation",
    "training is on the holdout as well",
)


@dataclass(frozen=True)
class CodeBreak:
    """Code that somebody changed: a feature function, or steps of the loop."""

    name: str
    case: str = ""
    #: What becomes of the feature function; ``None``: it stays.
    function: Callable[[FeatureFunction], FeatureFunction] | None = None
    #: What becomes of the steps of the loop.
    steps: Callable[[Steps], Steps] = lambda sound: sound
    #: Whether features are made by other code, so that none are adopted that the sound code made.
    other_features: bool = False

    def applied(self, workspace: Workspace, context: ModelContext) -> tuple[Workspace, ModelContext]:
        """The workspace and the declarations under which the broken code runs."""
        broken = workspace.with_(steps=self.steps(workspace.steps))
        if self.function is None and not self.other_features:
            return broken, context
        function = self.function(context.function) if self.function is not None else context.function
        return (
            broken.with_(
                function=lambda _: function,
                feature_codes=lambda spec: (f"{spec.code_version()} {self.name} {self.case}",),
            ),
            replace(context, replacement=function),
        )


def feature_breaks(context: ModelContext, frame: "pl.DataFrame") -> Iterator[CodeBreak]:
    """Broken feature code; ``frame`` are raw rows, which say what can be broken."""
    import polars as pl

    known_later = [name for name in context.dataset.outcomes() if frame.schema.get(name, pl.String).is_numeric()]
    numeric = [name for name in context.function.columns]
    for name in known_later:
        yield _function(
            "an outcome is among the features",
            name,
            lambda raw, rows, name=name: rows.with_columns(raw[name].alias(f"known_{name}")),
            inputs=(name,),
            columns=(f"known_{name}",),
        )
    yield _function(
        "a feature is counted over the rows at hand",
        "",
        lambda raw, rows: rows.with_columns(
            rows_of_the_day=pl.len().over(raw[context.function.time] if context.function.time else pl.lit(0))
        ),
        columns=("rows_of_the_day",),
    )
    for name in numeric[:3]:
        yield _function(
            "a feature is constant", name, lambda _, rows, name=name: rows.with_columns(pl.lit(0).alias(name))
        )
        yield _function(
            "a feature is empty",
            name,
            lambda _, rows, name=name: rows.with_columns(pl.lit(None, dtype=pl.Float32).alias(name)),
        )
        yield _function(
            "a feature is divided by zero",
            name,
            lambda _, rows, name=name: rows.with_columns((pl.col(name).cast(pl.Float64) + 1) / pl.lit(0.0)),
        )
    if context.function.histories and context.feature_set.history_lag > 0:
        yield CodeBreak(
            "history is younger than declared (looks into the future)",
            steps=lambda sound: replace(sound, history=_without_lag(sound.history)),
            other_features=True,
        )


def _function(
    name: str,
    case: str,
    rows: "Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]",
    inputs: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
) -> CodeBreak:
    return CodeBreak(name, case, lambda original: ChangedFunction(original, rows, inputs, columns))


def _without_lag(sound: Callable[..., "History"]) -> Callable[..., "History"]:
    def history(
        function: FeatureFunction, tables: "Iterable[pl.DataFrame]", lag: int, known: "History | None" = None
    ) -> "History":
        import polars as pl

        # A lag of no day is refused; outcomes that are dated too early by the lag are the same thing.
        return sound(function, [table.with_columns(pl.col("day") - pl.duration(days=lag)) for table in tables], lag)

    return history


def split_breaks(context: ModelContext) -> Iterator[CodeBreak]:
    """Broken splits: what is tested on was learnt from."""
    timed = context.dataset.partitions.timed

    def overlapping(sound: Callable[..., Plan]) -> Callable[..., Plan]:
        def wrong(*arguments: Any) -> Plan:
            found = sound(*arguments)
            return found._replace(train=(*found.train, *found.holdout[-1:]))

        return wrong

    def backwards(sound: Callable[..., Plan]) -> Callable[..., Plan]:
        def wrong(*arguments: Any) -> Plan:
            found = sound(*arguments)
            return found._replace(train=(*found.train[1:], *found.holdout), holdout=found.train[:1])

        return wrong

    if not timed:
        yield CodeBreak(
            "groups of the holdout are in training",
            steps=lambda sound: replace(sound, by_group=overlapping(sound.by_group)),
        )
        return
    for name, change in (
        ("a partition is in training and holdout", overlapping),
        ("training reaches beyond the holdout", backwards),
    ):
        yield CodeBreak(name, steps=lambda sound, change=change: replace(sound, plan=change(sound.plan)))


def training_breaks(
    context: ModelContext, share: float = 1.0, holdout: "tuple[ManifestEntry, ...]" = ()
) -> Iterator[CodeBreak]:
    """Broken trainings, in a share of the rows: the last, on that share of ``holdout``, only where there is one.

    The version of the code changes with the code, so that no earlier model is adopted.
    """
    import polars as pl

    names, target = list(context.names), context.model.target

    def shuffled_labels(frame: "pl.DataFrame") -> "pl.DataFrame":
        return frame.with_columns(frame[target].shuffle(SEED))

    def noise(frame: "pl.DataFrame") -> "pl.DataFrame":
        return frame.with_columns(frame[name].shuffle(SEED + place) for place, name in enumerate(names))

    def leaking(frame: "pl.DataFrame") -> "pl.DataFrame":
        # Classes by the place of their name: the same number in every partition.
        places = {name: float(place) for place, name in enumerate(context.model.classes)}
        known = pl.col(target).cast(pl.String).replace_strict(places, default=None) if places else pl.col(target)
        return frame.with_columns(known.cast(pl.Float32).alias(names[0]))

    def part(frame: "pl.DataFrame") -> "pl.Series":
        order = pl.int_range(frame.height, eager=True).shuffle(SEED)
        return order < max(1, round(share * frame.height))

    def changed(frame: "pl.DataFrame", change: "Callable[[pl.DataFrame], pl.DataFrame]") -> "pl.DataFrame":
        return change(frame) if share >= 1 else mixed(frame, change(frame), part(frame))

    def broken(name: str, change: "Callable[[pl.DataFrame], pl.DataFrame]", *places: str) -> CodeBreak:
        def frames(sound: Callable[..., Any]) -> Callable[..., Any]:
            return lambda store, entries: (changed(frame, change) for frame in sound(store, entries))

        def steps(sound: Steps) -> Steps:
            there = {place: frames(getattr(sound, place)) for place in places}
            return replace(sound, training_code=f"{name} {share:g}", **there)

        return CodeBreak(name, steps=steps)

    def seen(sound: Steps) -> Steps:
        def frames(store: Any, entries: Any) -> "Iterator[pl.DataFrame]":
            yield from sound.training_frames(store, entries)
            for frame in sound.training_frames(store, holdout):
                yield frame.filter(part(frame))

        return replace(sound, training_code=f"holdout {share:g}", training_frames=frames)

    training, evaluation = "training_frames", "evaluation_frames"
    yield broken("labels are shuffled in training", shuffled_labels, training)
    yield broken("training is on noise", noise, training)
    yield broken("the target is a feature, in training and evaluation", leaking, training, evaluation)
    if holdout:
        yield CodeBreak("training is on the holdout as well", steps=seen)


def refit_breaks(context: ModelContext) -> Iterator[CodeBreak]:
    """Broken refits of a sound model, where one is declared: they learn something else than it did."""
    import polars as pl

    if not context.model.split.refit:
        return
    target, names = context.model.target, context.names

    def learning(change: "Callable[[pl.DataFrame], pl.DataFrame]") -> Callable[[Steps], Steps]:
        def steps(sound: Steps) -> Steps:
            frames = sound.training_frames
            return replace(sound, training_frames=lambda store, rows: (change(one) for one in frames(store, rows)))

        return steps

    yield CodeBreak(
        "labels are shuffled in the refit",
        steps=learning(lambda frame: frame.with_columns(pl.col(target).shuffle(SEED))),
    )
    yield CodeBreak(
        "the refit is on noise",
        steps=learning(
            lambda frame: frame.with_columns(frame[name].shuffle(SEED + place) for place, name in enumerate(names))
        ),
    )


def package_breaks(
    features: tuple[str, ...], strongest: tuple[str, str], other: Path, other_sha256: str
) -> Iterator[CodeBreak]:
    """Broken packages. ``other`` is another model's file, ``strongest`` the features that the model looks at most."""
    left, right = (features.index(name) for name in strongest)

    def instead(sha256: str | None) -> Callable[[Steps], Steps]:
        def change(sound: Steps) -> Steps:
            def wrong(model: str, version: int, file: Path, recorded: str, *arguments: Any, **options: Any) -> Any:
                return sound.package(model, version, other, sha256 or recorded, *arguments, **options)

            return replace(sound, package=wrong)

        return change

    yield CodeBreak(
        "two columns change places at serving",
        ", ".join(strongest),
        steps=_entered("swapped", columns=[left, right]),
    )
    yield CodeBreak("another model file under the recorded hash", steps=instead(None))
    yield CodeBreak("another model is packaged than was evaluated", steps=instead(other_sha256))
    yield CodeBreak("the service accepts any input", steps=_entered("tolerant"))


def load_breaks(gates: Sequence[Gate]) -> Iterator[CodeBreak]:
    """A package that answers too late; what is too late only a gate ``latency`` says."""
    from ml_platform.serving import load

    for gate in gates:
        if gate.gate == "latency" and gate.rate and gate.max is not None:
            # One request at a time: the last is answered this much later than the gate allows, if not more.
            requests = load.requests(gate.rate)
            seconds = requests / gate.rate + 2 * gate.max / 1000
            yield CodeBreak(
                "each request waits for another system",
                f"{1000 * seconds / requests:.0f} ms, {gate.rate:g} a second",
                steps=_entered("waiting", seconds=seconds / requests),
            )


def _entered(fault: str, **options: Any) -> Callable[[Steps], Steps]:
    """Packages whose entry module is a fault, with the numbers that it asks for."""
    entry = f"{faults.__name__}.{fault}"
    return lambda sound: replace(sound, package=partial(sound.package, entry=entry, options=options))
