"""Make an installation with a history, by the code of this checkout, and pack it for the tests of later code.

Run it from a clean checkout as ``python -m ml_platform_tests.upgrade.make_installation ARCHIVE``; it takes some
minutes, and prints the commit. Everything goes through the command line, services and all, as its people would do it:

1. January to April: first versions of both models.
2. A corrected February, and a May that its gates refuse: second versions.
3. A change of parameters that gives a worse model: the candidate is rejected, and the change taken back.
4. A June too short to pass, and July: third versions without June, of which a person rejects one and leaves the other
   undecided; she lets June pass for a day, and approves the fourth versions.
5. Nothing new.
"""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml_platform_tests.conftest import ROOT
from ml_platform_tests.shop_project import DATASET, MODELS, folder_of
from ml_platform_tests.upgrade.installation import PLACE, Installation, pack

PORTS = "3300-3339"
JANUARY, FEBRUARY, MARCH, APRIL, MAY, JUNE, JULY = (f"2024-{month:02d}-01" for month in range(1, 8))
PARAMETERS = "parameters: {rounds: 40,"
WORSE = "parameters: {rounds: 1,"


def main(archive: Path) -> None:
    """Make it in a temporary folder, pack it, and write beside it what it held."""
    commit = _git("rev-parse", "HEAD")
    if _git("status", "--porcelain", "--", "ml_platform"):
        raise SystemExit("ml_platform/ has uncommitted changes: an installation is that of a commit")
    with tempfile.TemporaryDirectory(prefix="installation-") as folder:
        shop = Installation(folder_of(Path(folder).resolve() / "shop"), PORTS)
        try:
            _live(shop)
        finally:
            _done(shop, "stop")
        held = {"commit": commit, "at": datetime.now(UTC).isoformat(), **described(shop, Path(folder))}
        pack(shop, archive)
    text = json.dumps(held, indent=1).replace(str(shop.root), PLACE)
    archive.with_name(archive.name.replace(".tar.xz", ".json")).write_text(f"{text}\n")
    print(f"{archive.name}: {archive.stat().st_size / 1e6:.2f} MB, made by commit {commit}")


def described(shop: Installation, folder: Path) -> dict[str, Any]:
    """What an installation tells of itself, by its commands; ``folder`` is for their answers."""

    def told(*arguments: str) -> Any:
        _done(shop, *arguments, "--json", str(folder / "told.json"))
        return json.loads((folder / "told.json").read_text())

    status = told("status")
    return {
        "datasets": status["datasets"],
        "models": status["models"],
        "ledger": _done(shop, "ledger", "verify").strip(),
        "traces": {
            model: {number: told("trace", f"{model}@{number}") for number in range(1, found["version"] + 1)}
            for model, found in status["models"].items()
        },
    }


def _live(shop: Installation) -> None:
    """The history of the installation."""
    shop.git("init", "--quiet", "--initial-branch", "main")
    _commit(shop, "The shop")
    shop.incoming.mkdir()
    for month in (JANUARY, FEBRUARY, MARCH, APRIL):
        _deliver(shop, month)
    _done(shop, "run")

    _deliver(shop, FEBRUARY, seed=1)
    _deliver(shop, MAY, broken=200)
    assert "quarantine failed" in _done(shop, "run")

    declaration = shop.root / "src" / "grocery" / "defs" / "returned" / "defs.yaml"
    text = declaration.read_text()
    assert PARAMETERS in text
    declaration.write_text(text.replace(PARAMETERS, WORSE))
    _commit(shop, "One tree is enough")
    assert "returned_evaluation_gates" in _done(shop, "run", code=1)
    declaration.write_text(text)
    _commit(shop, "One tree is not enough")

    _deliver(shop, JUNE, rows=600)
    _deliver(shop, JULY)
    assert "volume failed" in _done(shop, "run", code=1, approval="person")
    _done(shop, "reject", "returned@3", "--by", "ada", "--reason", "June is missing")
    why = ("--by", "ada", "--reason", "the shop was closed for two weeks")
    _done(shop, "override", "volume", f"{DATASET}/batch/{JUNE}", *why, "--days", "1")
    _done(shop, "run", code=1, approval="person")
    for model in MODELS:
        _done(shop, "approve", f"{model}@4", "--by", "ada", "--reason", "looked at the report")
    _done(shop, "run", approval="person")

    _done(shop, "run")
    assert "nothing new" in _done(shop, "run")


def _deliver(shop: Installation, month: str, **options: int) -> None:
    from grocery.made_up import purchases

    purchases(month, **options).write_parquet(shop.incoming / f"{month}.parquet")


def _done(shop: Installation, *arguments: str, code: int = 0, approval: str = "automatic") -> str:
    """What a command printed; it has to end with ``code``."""
    done = shop.ml(*arguments, ML_PLATFORM_APPROVAL=approval)
    print(f"$ ml-platform {' '.join(arguments)} → {done.returncode}\n{done.stdout}{done.stderr}", file=sys.stderr)
    if done.returncode != code:
        raise SystemExit(f"ml-platform {arguments[0]} ended with {done.returncode}, not with {code}")
    return done.stdout


def _commit(shop: Installation, message: str) -> None:
    shop.git("add", "--all")
    shop.git("commit", "--quiet", "-m", message)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
