"""A feature function that somebody edited, and that lacks something, is told in one line."""

import pytest

from ml_platform.declarations.features import FeatureSpec
from ml_platform.foundation.errors import DeclarationError


class Lacking:
    """Without ``inputs``, ``labels`` and ``targets``, as after a line too much was deleted."""

    time, key, columns, histories, slices = "day", ("id",), ("amount",), (), ()

    def rows(self, raw: object) -> object:
        return raw

    def outcomes(self, raw: object) -> object:
        return raw


lacking = Lacking()


def test_what_a_feature_function_lacks_is_named() -> None:
    declared = {"dataset": "sales", "function": f"{__name__}:lacking", "description": "d", "history_lag": 1}
    spec = FeatureSpec.model_validate(declared)
    with pytest.raises(DeclarationError, match=r"^function: .*:lacking lacks inputs, labels, targets; "):
        spec.load_function()
