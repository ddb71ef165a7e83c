"""Broken code: feature functions, splits, trainings and packages as somebody might change them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_platform.declarations.context import ModelContext
from ml_platform.features.contract import FeatureFunction
from ml_platform.foundation.errors import PlatformError
from ml_platform.gates.gate import Gate
from ml_platform.proving.batches import outcomes
from ml_platform.proving.given import ChangedFunction, changed

if TYPE_CHECKING:
    import polars as pl

#: Seed of everything that is shuffled.
SEED = 7


@dataclass(frozen=True)
class CodeBreak:
    """A change of a declaration, or of the steps of the loop for the length of a block."""

    name: str
    case: str = ""
    #: The declarations under which it runs.
    declare: Callable[[ModelContext], ModelContext] = lambda context: context
    #: Steps of the loop that are replaced: module, attribute, and what makes the broken one of the sound one.
    replace: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = ()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The steps are broken within the block."""
        with ExitStack() as stack:
            for owner, name, change in self.replace:
                stack.enter_context(replaced(owner, name, change))
            yield


@contextmanager
def replaced(owner: Any, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Exchange an attribute of a module or class within the block."""
    sound = getattr(owner, name)
    setattr(owner, name, change(sound))
    try:
        yield
    finally:
        setattr(owner, name, sound)


def feature_breaks(context: ModelContext, frame: "pl.DataFrame") -> Iterator[CodeBreak]:
    """Broken feature code; ``frame`` are raw rows, which say what can be broken."""
    import polars as pl

    known_later = [name for name in outcomes(context) if frame.schema.get(name, pl.String).is_numeric()]
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
        lambda raw, rows: rows.with_columns(rows_of_the_day=pl.len().over(raw[context.function.time])),
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
        from ml_platform.features.materialize import Materializer

        yield CodeBreak(
            "history is younger than declared (looks into the future)",
            replace=((Materializer, "_history", _without_lag), (Materializer, "code", _other_code)),
        )


def _function(
    name: str,
    case: str,
    rows: "Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]",
    inputs: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
) -> CodeBreak:
    def change(original: FeatureFunction) -> FeatureFunction:
        return ChangedFunction(original, rows, inputs, columns)

    return CodeBreak(
        name,
        case,
        lambda context: ModelContext(
            context.model, changed(context.feature_set, change, f"{name} {case}"), context.dataset
        ),
    )


def _without_lag(_: Any) -> Any:
    def history(self: Any, content: tuple[tuple[str, str], ...]) -> Any:
        import polars as pl

        from ml_platform.features.history import History

        # A lag of no day is refused; outcomes that are dated too early by the lag are the same thing.
        lag = self.spec.history_lag
        days = [self._daily(name, sha256) for name, sha256 in content]
        earlier = [table.with_columns(pl.col("day") - pl.duration(days=lag)) for table in days]
        return History.from_tables(self.function, earlier, lag)

    return history


def _other_code(_: Any) -> Any:
    """Changed code has another version, so that no features are adopted that the sound code made."""
    return property(lambda self: "without lag")


def split_breaks() -> Iterator[CodeBreak]:
    """Broken splits: what is tested on was learnt from."""
    from ml_platform.training import split

    def overlapping(plan: Callable[..., split.Plan]) -> Callable[..., split.Plan]:
        def wrong(*arguments: Any) -> split.Plan:
            train, holdout, refused = plan(*arguments)
            return split.Plan((*train, *holdout[-1:]), holdout, refused)

        return wrong

    def backwards(plan: Callable[..., split.Plan]) -> Callable[..., split.Plan]:
        def wrong(*arguments: Any) -> split.Plan:
            train, holdout, refused = plan(*arguments)
            return split.Plan((*train[1:], *holdout), train[:1], refused)

        return wrong

    yield CodeBreak("a partition is in training and holdout", replace=((split, "plan", overlapping),))
    yield CodeBreak("training reaches beyond the holdout", replace=((split, "plan", backwards),))


def training_breaks(context: ModelContext) -> Iterator[CodeBreak]:
    """Broken trainings. The version of the code changes with the code, so that no earlier model is adopted."""
    import polars as pl

    from ml_platform.pipeline import evaluation, model

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

    def broken(name: str, change: "Callable[[pl.DataFrame], pl.DataFrame]", *places: Any) -> CodeBreak:
        def frames(sound: Callable[..., Any]) -> Callable[..., Any]:
            return lambda workspace, entries: (change(frame) for frame in sound(workspace, entries))

        def version(sound: Callable[[], tuple[str, ...]]) -> Callable[[], tuple[str, ...]]:
            return lambda: (f"{sound()[0]} {name}",)

        return CodeBreak(
            name,
            replace=(*((place, "frames", frames) for place in places), (model, "training_code_versions", version)),
        )

    yield broken("labels are shuffled in training", shuffled_labels, model)
    yield broken("training is on noise", noise, model)
    yield broken("the target is a feature, in training and evaluation", leaking, model, evaluation)


def package_breaks(
    features: tuple[str, ...], strongest: tuple[str, str], other: Path, other_sha256: str
) -> Iterator[CodeBreak]:
    """Broken packages. ``other`` is another model's file, ``strongest`` the features that the model looks at most."""
    from ml_platform.serving import packaging

    left, right = (features.index(name) for name in strongest)
    swap = f"    result[:, [{left}, {right}]] = result[:, [{right}, {left}]]\n"

    def tolerant(folder: Path) -> None:
        path = folder / "ml_platform" / "serving" / "schema.py"
        text = path.read_text()
        if text.count('extra="forbid", strict=True') != 1:
            raise PlatformError("prove: the request's strictness is declared elsewhere now; correct this break")
        path.write_text(text.replace('extra="forbid", strict=True', 'extra="ignore", strict=False'))

    def instead(sha256: str | None) -> Callable[[Any], Any]:
        def change(package: Callable[..., Any]) -> Callable[..., Any]:
            def wrong(model: str, version: int, file: Path, recorded: str, *arguments: Any, **options: Any) -> Any:
                return package(model, version, other, sha256 or recorded, *arguments, **options)

            return wrong

        return change

    yield CodeBreak(
        "two columns change places at serving",
        ", ".join(strongest),
        replace=((packaging, "stage_code", _staged(_featurizing(swap))),),
    )
    yield CodeBreak("another model file under the recorded hash", replace=((packaging, "package", instead(None)),))
    yield CodeBreak(
        "another model is packaged than was evaluated", replace=((packaging, "package", instead(other_sha256)),)
    )
    yield CodeBreak("the service accepts any input", replace=((packaging, "stage_code", _staged(tolerant)),))


def load_breaks(gates: Sequence[Gate]) -> Iterator[CodeBreak]:
    """A package that answers too late; what is too late only a gate ``latency`` says."""
    from ml_platform.serving import load, packaging

    for gate in gates:
        if gate.gate == "latency" and gate.rate and gate.max is not None:
            # One request at a time: the last is answered this much later than the gate allows, if not more.
            requests = load.requests(gate.rate)
            seconds = requests / gate.rate + 2 * gate.max / 1000
            wait = f"    import time\n\n    time.sleep({seconds / requests:.6f})\n"
            yield CodeBreak(
                "each request waits for another system",
                f"{1000 * seconds / requests:.0f} ms, {gate.rate:g} a second",
                replace=((packaging, "stage_code", _staged(_featurizing(wait))),),
            )


def _staged(edit: Callable[[Path], None]) -> Callable[[Any], Any]:
    """The code of a package with an edit."""

    def change(stage_code: Callable[..., None]) -> Callable[..., None]:
        def stage(folder: Path, *named: Any) -> None:
            stage_code(folder, *named)
            edit(folder)

        return stage

    return change


def _featurizing(lines: str) -> Callable[[Path], None]:
    """``lines`` run whenever a package has made ``result``, the matrix of a request."""

    def edit(folder: Path) -> None:
        path = folder / "ml_platform" / "features" / "build.py"
        path.write_text(
            path.read_text() + "\n_sound = featurize\n\n\ndef featurize(function, raw_inputs, history):\n"
            f"    result = _sound(function, raw_inputs, history)\n{lines}    return result\n"
        )

    return edit
