"""``ml-platform ledger``: verify, continue, rotate and log, on a ledger that lost its end."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_platform.cli import app
from ml_platform.foundation.settings import Settings
from ml_platform.ledger import verified
from ml_platform.pipeline.workspace import Workspace
from ml_platform_tests.cli.conftest import Ended, forget
from ml_platform_tests.ledger.writing import (
    MARCH,
    ROWS,
    private,
    public,
    rehashed,
    replace_rows,
    rows_of,
    verdict,
    write,
)


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """A command of ``ml-platform ledger`` in a fresh process, as far as the ledger is concerned."""

    def run(*arguments: str, **environment: str) -> Ended:
        for name, value in {"ML_PLATFORM_LOCAL": str(tmp_path), **environment}.items():
            monkeypatch.setenv(name, value)
        forget()
        monkeypatch.setattr(verified, "_verified", {})
        monkeypatch.setattr(sys, "argv", ["ml-platform", "ledger", *arguments])
        with pytest.raises(SystemExit) as end:
            app()
        printed = capfd.readouterr()
        return Ended(int(end.value.code or 0), printed.out, printed.err)

    yield run
    forget()


def merged(local: Path) -> None:
    """Two verdicts, and a merge that notes them."""
    workspace = Workspace(Settings(local=local))
    write(workspace.ledger, verdict(), verdict(ROWS))
    (local / "file").write_text("content")
    workspace.store.create_branch("work")
    workspace.store.commit("work", {"a": local / "file"}, "a")
    workspace.store.merge("work", "main", "publish", workspace.ledger.anchor().facts)


def test_a_lost_end_is_told_accepted_and_shown(call: Callable[..., Ended], tmp_path: Path) -> None:
    merged(tmp_path)
    assert call("verify").out.startswith("2 entries, unbroken; head ")
    replace_rows(tmp_path / "ledger.db", rehashed(rows_of(tmp_path / "ledger.db")[:1]))
    code, out, err = call("verify")
    assert (code, out) == (1, "")
    line = err.splitlines()[-1]
    assert line.startswith("ml-platform: ledger: entries were cut or replaced: it ends at entry 1, commit ")
    assert "ml-platform ledger continue --by NAME --reason TEXT" in line
    assert call("continue", "--by", "ann", "--reason", " ").err.splitlines()[-1].endswith("give a name and a reason")
    told = "entry 2: ann accepted that entries after 0 up to 2 are lost: disk failed"
    assert call("continue", "--by", "ann", "--reason", "disk failed").out.splitlines() == [told]
    code, out, _ = call("verify")
    assert code == 0 and out.splitlines()[0].startswith("2 entries, unbroken") and out.splitlines()[1:] == [told]


def test_the_key_is_rotated_and_shown(call: Callable[..., Ended], tmp_path: Path) -> None:
    merged(tmp_path)
    about = ("rotate", public(2), "--by", "ann", "--reason", "yearly")
    assert "set ML_PLATFORM_LEDGER_KEY" in call(*about).err
    assert "ml-platform ledger sign" in call(*about, ML_PLATFORM_LEDGER_KEY=private(1)).err
    begun = call("sign", "--by", "ann", "--reason", "we have a key", ML_PLATFORM_LEDGER_KEY=private(1)).out
    assert begun.startswith(f"the next entries are signed with {public(1)}")
    assert public(2) in call(*about, ML_PLATFORM_LEDGER_KEY=private(1)).out
    assert "ML_PLATFORM_LEDGER_KEY is" in call("verify", ML_PLATFORM_LEDGER_KEY=private(1)).err
    code, out, _ = call("verify", ML_PLATFORM_LEDGER_KEY=private(2))
    assert code == 0 and out.startswith("4 entries, unbroken")


def test_a_name_or_how_it_begins_is_asked_for(call: Callable[..., Ended], tmp_path: Path) -> None:
    merged(tmp_path)
    result = tmp_path / "log.json"
    for asked, count in ((MARCH, 2), ("flights/%", 2), ("flights_%", 0), ("flights", 0), ("", 2)):
        assert call("log", "--subject", asked, "--json", str(result)).code == 0
        assert result.read_text().count('"sequence"') == count, asked
