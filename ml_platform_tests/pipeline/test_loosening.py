"""Gates that are looser than the champion's are seen, and where a person approves a person has to accept them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ml_platform.cli import approve as approve_command
from ml_platform.cli import check as check_command
from ml_platform.cli.outcomes import markdown
from ml_platform.declarations.catalogue import Catalogue
from ml_platform.foundation.errors import PlatformError, Refused
from ml_platform.foundation.provenance import Run
from ml_platform.ledger.kinds import LOOSENING
from ml_platform.ledger.ledger import Ledger
from ml_platform.pipeline import approval, loosening
from ml_platform_tests.project import Project
from ml_platform_tests.shop_project import DATASET, MODEL, STEPS, attributes, copy_of, declared, gates

EVALUATED, REGISTERED = STEPS[2], STEPS[3]


def judged_by(
    *, dataset: Mapping[str, Any] | None = None, model: Mapping[str, Any] | None = None, **changes: Any
) -> Catalogue:
    """The shop with some thresholds of the model, and some attributes, changed."""
    return declared(dataset=dataset, models={MODEL: {"gates": gates(**changes), **(model or {})}})


@pytest.fixture(scope="module")
def shop(with_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a champion, where a person approves."""
    target = tmp_path_factory.mktemp("loosening") / "project"
    project = copy_of(with_models, target, judged_by(), ML_PLATFORM_APPROVAL="person")
    with project.active() as workspace:
        workspace.registry.set_alias(MODEL, "champion", 1)
    return project


def seen(project: Project) -> list[tuple[str, str, str]]:
    """Asset, gate and direction of every change since the champion was registered."""
    with project.active() as workspace:
        found = loosening.since_champion(workspace, project.context())
    assert {one.version for one in found} <= {1}
    return [(one.change.asset, one.change.gate, one.change.direction) for one in found]


def test_what_stands_as_it_was_has_not_changed(shop: Project) -> None:
    assert seen(shop) == []


def test_every_part_of_what_the_champion_was_judged_by_is_compared(shop: Project) -> None:
    data, _ = attributes(DATASET)
    fewer = [gate for gate in data["gates"] if gate["gate"] != "duplicates" and gate["gate"] in ("schema", "volume")]
    found = seen(
        shop.variant(
            judged_by(
                dataset={"gates": fewer, "new_columns": "accept"},
                model={"decision_threshold": 0.9},
                performance={"min": 0.4},
                baseline=None,
                leak_alarm={"max": 0.999},
                skew={"severity": "warn"},
            )
        )
    )
    assert (f"{DATASET}/batch", "duplicates", "removed") in found
    assert (f"{DATASET}/batch", "new_columns", "loosened") in found
    assert (EVALUATED, "decision_threshold", "changed") in found
    assert (EVALUATED, "performance_auc", "loosened") in found
    assert (EVALUATED, "baseline_auc", "removed") in found
    assert (EVALUATED, "leak_alarm_auc", "loosened") in found
    assert (f"{MODEL}/service", "skew", "loosened") in found


def test_nothing_is_registered_or_approved_under_looser_gates_until_a_person_accepts_them(
    shop: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loose = shop.variant(judged_by(performance={"min": 0.4}))
    assert seen(loose) == [(EVALUATED, "performance_auc", "loosened")]
    assert loose.materialize(EVALUATED, checks=None).success
    refused = loose.materialize(REGISTERED)
    assert "performance_auc of returned/evaluation loosened: min" in refused.error
    assert f"ml-platform loosen {MODEL} --by NAME" in refused.error
    run = Run.new()
    with loose.active() as workspace:
        version, context = workspace.registry.get(MODEL, 1), loose.context()
        with pytest.raises(Refused, match="gates are looser than those of version 1") as error:
            approval.decide(workspace, context, version, "approved", by="ann", reason="why not", run=run)
        assert error.value.because == "looser gates: performance_auc"
        with pytest.raises(Refused, match="gates are looser"):
            approval.require_approved(workspace, context, version, Run.new())
        # To reject needs no such thing, and neither do people who let the gates approve.
        for by, reason in ((" ", "x"), ("ann", ""), ("gates", "x")):
            with pytest.raises(PlatformError, match="name"):
                loosening.accept(workspace, context, by=by, reason=reason, run=run)
    gated = loose.variant(loose.catalogue, ML_PLATFORM_APPROVAL="automatic")
    with gated.active() as workspace:
        loosening.require_accepted(workspace, gated.context())

    monkeypatch.setattr(approve_command, "project_catalogue", lambda: loose.catalogue)
    file = tmp_path / "accepted.json"
    with loose.active():
        approve_command.accept_looser_gates(MODEL, "ann", "a new market", file)
    assert "accepted by ann against version 1: a new market" in capsys.readouterr().out
    assert [one["gate"] for one in json.loads(file.read_text())["accepted"]] == ["performance_auc"]
    (entry,) = shop.entries(kind=LOOSENING)
    assert (entry.subject_name, entry.body["by"], entry.body["version"]) == (f"{MODEL}/gates", "ann", 1)
    with loose.active() as workspace:
        (one,) = loosening.since_champion(workspace, loose.context())
        assert one.accepted == "ann: a new market"
        assert loosening.accept(workspace, loose.context(), by="bob", reason="again", run=run) == []
    assert loose.materialize(REGISTERED).success
    # Exactly this was accepted, and nothing beyond it.
    looser = shop.variant(judged_by(performance={"min": 0.3}))
    assert looser.materialize(EVALUATED, checks=None).success
    assert "performance_auc of returned/evaluation loosened" in looser.materialize(REGISTERED).error


def test_a_reviewer_sees_the_changes_in_the_comment(shop: Project) -> None:
    other = shop.variant(judged_by(performance={"min": 0.9}, leak_alarm=None))
    with other.active() as workspace:
        changed = list(check_command._changed(workspace, other.catalogue))
    text = markdown([], changed=changed)
    section = text.split("### Gates that changed since the champion was registered\n\n")[1].splitlines()
    # What lets more pass comes first.
    assert section[2].startswith("| returned/evaluation | leak\\_alarm\\_auc | removed |")
    assert section[3].startswith("| returned/evaluation | performance\\_auc | tightened | min |")
    assert {one.plain["status"] for one in changed} == {"removed", "tightened"}
    assert not any(one.plain["blocking"] for one in changed)
    assert "Gates that changed" not in markdown([])


def test_a_version_of_an_earlier_release_is_compared_by_its_verdicts(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = Ledger.entries

    def earlier(self: Ledger, **chosen: Any) -> Any:
        """Entries as that release wrote them."""
        return [
            replace(entry, body={key: value for key, value in entry.body.items() if key != loosening.DECLARED})
            for entry in entries(self, **chosen)
        ]

    monkeypatch.setattr(Ledger, "entries", earlier)
    assert not [one for one in seen(shop) if one[2] != "added"]
    loose = shop.variant(judged_by(performance={"min": 0.4}, leak_alarm=None, baseline={"severity": "warn"}))
    assert {one for one in seen(loose) if one[2] != "added"} == {
        (EVALUATED, "performance_auc", "loosened"),
        (EVALUATED, "leak_alarm_auc", "removed"),
        (EVALUATED, "baseline_auc", "loosened"),
    }


def test_what_the_gates_judge_by_is_compared_too(
    shop: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No threshold is touched, and every gate sees less: rules of the schema, rows that are set aside, the holdout."""
    (tmp_path / "lenient_purchases.py").write_text(
        "from grocery.defs.purchases.schema import Purchases\n\n\nclass Lenient(Purchases):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    batch = f"{DATASET}/batch"
    for changed, wanted in (
        ({"dataset": {"schema": "lenient_purchases:Lenient"}}, (batch, "schema", "changed")),
        ({"dataset": {"quarantine": {"max": 0.99}}}, (batch, "quarantine", "loosened")),
        ({"dataset": {"key": ["order_id"]}}, (batch, "key", "changed")),
        ({"model": {"split": {"holdout": 2}}}, (f"{MODEL}/split", "split", "changed")),
    ):
        assert wanted in seen(shop.variant(judged_by(**changed))), changed
