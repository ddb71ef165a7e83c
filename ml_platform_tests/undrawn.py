"""Reports without what draws them: a third of an evaluation is matplotlib, and few tests look at a plot."""

from collections.abc import Iterator
from typing import TextIO

import pytest


@pytest.fixture(scope="package", autouse=True)
def undrawn() -> Iterator[None]:
    """Figures are made of the real numbers, and written as an empty drawing.

    For the folder whose ``conftest.py`` imports it; those of evaluation and documents look at drawn ones.
    """

    def empty(_canvas: object, file: TextIO, **_options: object) -> None:
        file.write("<svg></svg>")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.backends.backend_svg.FigureCanvasSVG.print_svg", empty)
        yield
