"""Feature sets as they are declared."""

from pydantic import Field, field_validator, model_validator

from ml_platform.declarations.declaration import NAME, Declaration
from ml_platform.features.contract import FeatureFunction, Refresh, Stale
from ml_platform.features.expressions import Expressions
from ml_platform.foundation.errors import DeclarationError
from ml_platform.foundation.objects import load_object, require_instance
from ml_platform.gates.stages import OF_FEATURES, Stage


class FeatureSpec(Declaration):
    """Features of a dataset: one feature function, one age of history."""

    #: Dataset that the features are made of.
    dataset: str = Field(pattern=NAME)
    #: Ends the key of its asset; models name ``dataset/name``.
    name: str = Field("features", pattern=NAME)
    #: ``module:object``, a :class:`~ml_platform.features.contract.FeatureFunction`; or ``expressions`` in its place.
    function: str = ""
    #: Features as expressions of SQL, in place of a function.
    expressions: Expressions | None = None
    #: Days between an outcome's day and the first day whose features may know it.
    history_lag: int = 1
    #: When the history of services is refreshed, each day or once a partition has closed. With ``partition`` training
    #: and evaluation see each row's history as of the last refresh before it too.
    refresh: Refresh = "day"
    #: What a service does with a row whose history is older than declared: mark the answer, or refuse it.
    stale: Stale = "mark"
    _stages: tuple[Stage, ...] = OF_FEATURES

    @model_validator(mode="after")
    def _one_way(self) -> "FeatureSpec":
        if self.expressions is not None:
            if self.function not in ("", self.expressions.path):
                raise ValueError("function: there are expressions too; declare one of them")
            # One path for whoever loads the function; the model is frozen for everybody else.
            object.__setattr__(self, "function", self.expressions.path)
        if not self.function:
            raise ValueError("function: name a module:object, or declare expressions")
        return self

    @field_validator("history_lag")
    @classmethod
    def _past_only(cls, value: int) -> int:
        if value < 1:
            raise ValueError(f"is {value}; it must be at least 1, since the outcomes of a row's own day are its future")
        return value

    def load_function(self) -> FeatureFunction:
        """The feature function, checked for its attributes."""
        function = load_object(self.function, "function")
        if not isinstance(function, FeatureFunction):
            members = {name for name in (*FeatureFunction.__annotations__, *vars(FeatureFunction)) if name[0] != "_"}
            wanted = sorted(name for name in members if not hasattr(function, name))
            raise DeclarationError(
                f"function: {self.function} lacks {', '.join(wanted)}; "
                "ml_platform.features.contract.FeatureFunction says what each is"
            )
        require_instance(function, self.function, "function", ("rows", "outcomes", "targets"))
        return function

    def code_version(self) -> str:
        """Version of the code that makes the features. Raises UnknownModule where it is not there."""
        from ml_platform.features.code import feature_code_version

        return feature_code_version(self.function)

    @property
    def age(self) -> tuple[object, ...]:
        """What decides how old history is: in versions of what is made with it; as it was before there was a choice."""
        return (self.history_lag, *((self.refresh,) if self.refresh != "day" else ()))

    @property
    def key(self) -> str:
        """Key that models refer to: ``dataset/name``."""
        return f"{self.dataset}/{self.name}"
