"""A small project that ran once, and its commands in this process."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ml_platform.cli import app
from ml_platform.declarations.loading import find_mistakes, project_catalogue
from ml_platform.foundation import provenance
from ml_platform.foundation.project import Project, current_project
from ml_platform.foundation.settings import get_settings
from ml_platform.orchestration import common
from ml_platform_tests.components.conftest import shop_template
from ml_platform_tests.components.shop import MONTHS, Shop, free_ports

__all__ = ["shop_template"]


def only_line(text: str) -> str:
    """The text, which has one line only."""
    (line,) = text.splitlines()
    return line


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Invoke = Callable[..., Ended]


class RanShop(NamedTuple):
    """A project in which everything ran once, with what the command printed."""

    shop: Shop
    settings: dict[str, str]
    out: str
    err: str


@pytest.fixture(scope="session")
def ran(shop_template: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RanShop]:
    """January to April were run, and a service is live until the tests are over."""
    shop = shop_template.copy(tmp_path_factory.mktemp("ran") / "shop")
    for month in MONTHS:
        shop.deliver(month)
    settings = {"ML_PLATFORM_PORTS": free_ports()}
    try:
        done = shop.ml("run", **settings)
        assert done.returncode == 0, done.stdout + done.stderr
        yield RanShop(shop, settings, done.stdout, done.stderr)
    finally:
        stopped = shop.ml("stop", **settings)
        assert stopped.returncode == 0, stopped.stderr


@pytest.fixture
def invoke(ran: RanShop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Invoke]:
    """Call the command of that project in this process, where the libraries are loaded already."""
    with calling(ran.shop, ran.settings, monkeypatch, capfd) as call:
        yield call


@contextmanager
def calling(
    shop: Shop, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Invoke]:
    """The command of a project as a function of its arguments."""
    monkeypatch.chdir(shop.root)
    monkeypatch.syspath_prepend(str(shop.root / "src"))
    _forget_code_elsewhere(shop)
    forget()

    def call(*arguments: str, **environment: str) -> Ended:
        for name, value in (shop.environment | settings | environment).items():
            monkeypatch.setenv(name, value)
        forget()
        monkeypatch.setattr(sys, "argv", ["ml-platform", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            app()
        printed = capfd.readouterr()
        return Ended(int(end.value.code or 0), printed.out, printed.err)

    yield call
    forget()


def _forget_code_elsewhere(shop: Shop) -> None:
    """Forget the modules of another copy of the project."""
    loaded = sys.modules.get(shop.defs.parent.name)
    if loaded and not Path(loaded.__file__ or "").is_relative_to(shop.root):
        for name in [name for name in sys.modules if name.partition(".")[0] == loaded.__name__]:
            del sys.modules[name]


def forget() -> None:
    """Forget settings, project and code commit of this process."""
    for cached in (get_settings, current_project, project_catalogue, common._workspace, provenance.current):
        cached.cache_clear()


@pytest.fixture
def shop(shop_template: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A copy of its own, whose modules this process can import and forgets again."""
    copy = shop_template.copy(tmp_path / "shop")
    monkeypatch.syspath_prepend(str(copy.root / "src"))
    _forget_code_elsewhere(copy)
    yield copy
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def mistakes_in(shop: Shop) -> list[str]:
    """A line for each mistake in the declarations of a project."""
    return find_mistakes(Project.find(shop.root))[0]
