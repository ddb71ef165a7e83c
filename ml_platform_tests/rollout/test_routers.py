"""Which router stands at the models' addresses."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from ml_platform.foundation.settings import Settings
from ml_platform.rollout.routers.envoy import Envoy
from ml_platform.rollout.routers.factory import ROUTERS, open_router


def test_every_name_that_the_settings_take_has_a_router_of_that_name(tmp_path: Path) -> None:
    named = set(get_args(Settings.model_fields["router"].annotation)) - {"auto"}
    assert named == set(ROUTERS)
    for name in named:
        assert open_router(Settings(local=tmp_path, router=name)).kind == name
    found = open_router(Settings(local=tmp_path, router="auto")).kind
    assert found == ("envoy" if Envoy.is_here() else "direct")


def test_a_name_that_no_router_has_is_an_error_and_never_another_router(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"router\n.*'auto', 'envoy' or 'direct'"):
        Settings(local=tmp_path, router="nginx")  # pyright: ignore[reportArgumentType]
