"""A version that is rejected while it answers: what says so, and the way back to the one before."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_platform.foundation.errors import PlatformError
from ml_platform.foundation.provenance import Run
from ml_platform.foundation.settings import Settings
from ml_platform.gates.gate import Status
from ml_platform.pipeline import answering, approval, champions, recorded_packages, rollout
from ml_platform.pipeline.workspace import Workspace
from ml_platform.rollout import control
from ml_platform.rollout.changes import rolled_back, started, stepped
from ml_platform.rollout.processes import Phase, describe
from ml_platform.rollout.record import Backend, Judged, ShadowGate, Step
from ml_platform.serving import bundle
from ml_platform_tests.conftest import ports
from ml_platform_tests.ledger.writing import HERE, verdict
from ml_platform_tests.pipeline.answered import NAME, nothing_runs, one_after_the_other, package, supervised
from ml_platform_tests.registry.models import registered, trained
from ml_platform_tests.shop_project import MODEL, PARAMETERS, STEPS, copy_of, declared, gates


@pytest.fixture
def live(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Versions 1 to 3 were live, one after the other; nothing runs, and who waits for one is told that it does."""
    workspace = one_after_the_other(tmp_path_factory.getbasetemp(), settings)
    nothing_runs(workspace, monkeypatch)
    return workspace


def rejected(workspace: Workspace, number: int) -> None:
    workspace.registry.set_approval(NAME, number, "rejected", by="ann", reason="wrong")


def test_what_the_record_names_answers(live: Workspace) -> None:
    assert answering.answers(live, NAME, 3)
    assert not answering.answers(live, NAME, 2)
    assert not answering.answers(live, "never_deployed", 1)


def test_a_package_that_was_never_promoted_is_named(live: Workspace) -> None:
    """Record and folder can be edited by hand: the ledger tells which packages went live."""
    stable = live.rollouts.load(NAME).stable
    assert stable is not None

    def said(backend: Backend, phase: Phase = "live") -> list[str]:
        key = (NAME, backend.identity, 0)
        service = describe(live.settings, key, backend, 1, 0.0, 1, "http://127.0.0.1:1")
        service.enter(phase)
        return list(
            answering.objections(live, service, champions.promoted(live, NAME, backend.version, backend.sha256))
        )

    exchanged = stable.model_copy(update={"sha256": "e" * 64})
    assert said(stable) == []
    assert said(exchanged, "starting") == []
    assert said(exchanged) == [
        f"{NAME}: the package that answers (eeeeeeeeeeee) was never promoted, so no gate stands for it; "
        "ml-platform run deploys the one that was judged, ml-platform stop ends it"
    ]


def forged(workspace: Workspace, backend: Backend) -> None:
    """A rollout of a package as an editor writes it into the record."""
    workspace.rollouts.update(NAME, lambda record: started(record, backend, by="ann", why="reviewed and signed off"))
    supervised(workspace)


def newest(workspace: Workspace) -> tuple[int, int | None]:
    """Version of the last promotion in the ledger, and the champion's."""
    champion = workspace.registry.champion(NAME)
    (entry,) = workspace.ledger.entries(subject_name=f"{NAME}/champion", kind="promotion", newest=1)
    return entry.body["version"], champion and champion.version


def test_a_promotion_that_an_editor_wrote_is_named_and_never_signed(live: Workspace) -> None:
    registered(live.registry, trained(live.registry, NAME, seed=4), "approved")
    crafted = package(live.settings, 4)
    forged(live, crafted)
    assert rollout.project(live, NAME, Run.new()) == 0
    assert newest(live) == (3, 3)
    (line,) = rollout.unfounded(live, NAME)
    assert "says that version 4" in line and "the ledger knows of no rollout of this package" in line
    assert rollout.attend(live, [NAME])[-1] == line
    # A real one of the same package is told, and what the editor wrote before it stays unsigned no longer than that.
    version, _ = answering.go_back(live, NAME, 4, Run.new(), by="bob", reason="taken back")
    assert (version.version, *newest(live)) == (3, 3, 3)
    assert rollout.unfounded(live, NAME) == [line]


def test_what_was_promoted_while_nobody_looked_is_no_stranger(live: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor promotes without the ledger, which is told by whoever comes next."""
    registered(live.registry, trained(live.registry, NAME, seed=4), "approved")
    made = package(live.settings, 4)
    rollout.begin(live, NAME, made, Run.new(), by="x", why="y")
    live.rollouts.update(NAME, lambda record: started(record, made, by="x", why="y"))
    assert not answering.went_live(live, NAME, 4, made.sha256), "it waits"
    supervised(live)
    with monkeypatch.context() as patch:
        # As without the key that entries are signed with.
        patch.setattr(live.ledger, "decide", lambda *_, **__: refuse())
        rollout.catch_up(live, [NAME, "never_deployed"])
        assert newest(live) == (3, 3)
        assert answering.strange(live, NAME, 4, made.sha256) == "" and answering.went_live(live, NAME, 4, made.sha256)
        assert answering.strange(live, NAME, 4, "e" * 64) == "its package was never promoted"
    rollout.catch_up(live, [NAME])
    assert newest(live) == (4, 4) and answering.strange(live, NAME, 4, made.sha256) == ""
    forged(live, other := package(live.settings, 5))
    registered(live.registry, trained(live.registry, NAME, seed=5), "approved")
    rollout.catch_up(live, [NAME])
    assert newest(live) == (4, 4) and answering.strange(live, NAME, 5, other.sha256) == "its package was never promoted"


def refuse() -> None:
    raise PlatformError("the ledger is signed and there is no key")


def test_a_candidate_that_was_rolled_back_is_not_promoted_by_an_edited_record(live: Workspace) -> None:
    registered(live.registry, trained(live.registry, NAME, seed=4), "approved")
    made = package(live.settings, 4)

    def begun() -> None:
        rollout.begin(live, NAME, made, Run.new(), by="x", why="y")
        live.rollouts.update(NAME, lambda record: started(record, made, by="x", why="y"))

    begun()
    rollout.decide(live, NAME, "abort", by="ann", reason="never promote it")
    forged(live, made)
    assert rollout.project(live, NAME, Run.new()) == 0 and newest(live) == (3, 3)
    (line,) = rollout.unfounded(live, NAME)
    assert "says that version 4" in line and "its rollout ended at" in line
    # Rolled out again by the platform it may be promoted, also where nobody has told the ledger of the end before.
    answering.go_back(live, NAME, 4, Run.new(), by="bob", reason="taken back")
    for told in (True, False):
        begun()
        if not told:
            live.rollouts.update(NAME, lambda record: rolled_back(record, why="errors"))
            begun()
    supervised(live)
    assert rollout.project(live, NAME, Run.new()) == 2
    assert newest(live) == (4, 4)


@pytest.mark.parametrize("upper", [0.5, 0.01])
def test_a_promotion_that_the_numbers_beside_it_hold_back_is_never_signed(live: Workspace, upper: float) -> None:
    registered(live.registry, trained(live.registry, NAME, seed=4), "approved")
    made = package(live.settings, 4)
    rollout.begin(live, NAME, made, Run.new(), by="x", why="y")
    gate = ShadowGate(declared={"gate": "shadow", "name": "shadow_decisions", "metric": "decisions", "max": 0.02})
    said = Judged(
        gate=gate, status="passed", reason="x", mean=upper / 2, lower=0, upper=upper, rows=4000, requests=1000, groups=9
    )
    steps = (Step(shadow=100, requests=10), Step(weight=50, requests=10))
    live.rollouts.update(NAME, lambda record: started(record, made, by="x", why="y", strategy=steps, gates=(gate,)))
    for copies in ((), (said,)):
        live.rollouts.update(NAME, lambda record, copies=copies: stepped(record, why="z", judged=copies))
    supervised(live)
    told = rollout.project(live, NAME, Run.new())
    assert newest(live) == ((3, 3) if upper > 0.02 else (4, 4)) and told >= (upper <= 0.02)
    if upper > 0.02:
        (line,) = rollout.unfounded(live, NAME)
        assert "its gate shadow_decisions held it back" in line


def test_a_rejected_version_is_not_promoted_by_an_edited_record(live: Workspace) -> None:
    registered(live.registry, trained(live.registry, NAME, seed=4), "approved")
    made = package(live.settings, 4)
    rollout.begin(live, NAME, made, Run.new(), by="x", why="y")
    rejected(live, 4)
    forged(live, made)
    assert rollout.project(live, NAME, Run.new()) == 0
    (line,) = rollout.unfounded(live, NAME)
    assert "ann rejected it (wrong)" in line
    assert newest(live) == (3, 3)


def test_a_rejected_version_that_answered_before_is_not_promoted_again_by_an_edited_record(live: Workspace) -> None:
    before = live.rollouts.load(NAME).previous
    assert before is not None and before.version == 2
    rejected(live, 2)
    forged(live, before)
    assert rollout.project(live, NAME, Run.new()) == 0
    assert newest(live) == (3, 3)
    (line,) = rollout.unfounded(live, NAME)
    assert "ann rejected it (wrong)" in line


@pytest.fixture
def early(settings: Settings) -> Workspace:
    """Version 1 as an earlier release left it: approved, its package judged, live, and its promotion not told yet."""
    workspace = Workspace(settings)
    version = registered(workspace.registry, trained(workspace.registry, NAME, seed=1), "approved")
    made, run = package(settings, 1, version.model_ref.file_hash), Run.new()
    forged(workspace, made)
    workspace.ledger.decide(
        "approval",
        subject=version.sha256,
        subject_name=f"{NAME}/model",
        body={"by": "gates"},
        run_id=run.id,
        provenance=run.provenance,
    )
    return workspace


def judged(workspace: Workspace, status: Status = "passed") -> Backend:
    """A verdict on the package that answers."""
    stable = workspace.rollouts.load(NAME).stable
    assert stable is not None
    workspace.ledger.record(
        [verdict(subject=stable.sha256, name=f"{NAME}/service", status=status)], run_id="early", provenance=HERE
    )
    return stable


def test_a_promotion_that_an_earlier_release_made_is_told_after_the_upgrade(early: Workspace) -> None:
    (line,) = rollout.unfounded(early, NAME)
    assert "the ledger knows of no rollout of this package" in line, "nobody judged it"
    judged(early)
    assert rollout.unfounded(early, NAME) == []
    assert rollout.project(early, NAME, Run.new()) == 1
    assert newest(early) == (1, 1)


def packaged_now(workspace: Workspace) -> None:
    recorded_packages.note(workspace, workspace.registry.get(NAME, 1), judged(workspace).sha256, "a context", Run.new())


#: What tells an editor's promotion from one of an earlier release.
TOLD_APART: dict[str, Callable[[Workspace], object]] = {
    "refused by a gate": lambda workspace: judged(workspace, "failed"),
    "not approved": lambda workspace: (judged(workspace), rejected(workspace, 1)),
    "made by this release": packaged_now,
    "another rollout began": lambda workspace: rollout.begin(
        workspace, NAME, judged(workspace).model_copy(update={"sha256": "e" * 64}), Run.new(), by="x", why="y"
    ),
}


@pytest.mark.parametrize("change", TOLD_APART.values(), ids=TOLD_APART.keys())
def test_a_promotion_of_an_editor_is_told_from_one_of_an_earlier_release(
    early: Workspace, change: Callable[[Workspace], object]
) -> None:
    change(early)
    assert len(rollout.unfounded(early, NAME)) == 1
    assert rollout.project(early, NAME, Run.new()) == 0


def test_a_package_is_of_the_version_that_its_content_names(early: Workspace) -> None:
    stable = judged(early)
    assert recorded_packages.of_an_earlier_release(early, early.registry.get(NAME, 1), stable.sha256)
    other = registered(early.registry, trained(early.registry, NAME, seed=2), "approved")
    place = early.settings.local / stable.path
    place.rename(place.with_name(place.name.replace(f"{NAME}-1-", f"{NAME}-2-")))
    assert not recorded_packages.of_an_earlier_release(early, other, stable.sha256)


def test_what_is_edited_in_a_revision_that_was_told_moves_no_alias(live: Workspace) -> None:
    history = live.rollouts.history(NAME)
    assert [event.change.action for event in rollout.events(history)] == ["promote"] * 3
    live.registry.set_alias(NAME, "champion", 1)
    rollout.project(live, NAME, Run.new())
    assert newest(live) == (3, 3)


def test_a_history_that_no_gate_judged_is_named(live: Workspace) -> None:
    stable = live.rollouts.load(NAME).stable
    assert stable is not None
    other = stable.model_copy(update={"snapshot": "a" * 64})
    service = describe(live.settings, (NAME, other.identity, 0), other, 1, 0.0, 1, "http://127.0.0.1:1")
    service.enter("live")
    (line,) = answering.objections(live, service, True)
    assert "answers from a history (aaaaaaaaaaaa) that no gate judged; ml-platform refresh --model tiny" in line


def test_the_version_before_answers_again_and_is_champion(live: Workspace) -> None:
    version, url = answering.go_back(live, NAME, 3, Run.new(), by="ann", reason="wrong")
    assert (version.version, url) == (2, "http://127.0.0.1:1")
    record = live.rollouts.load(NAME)
    assert record.stable is not None
    assert record.stable.version == 2
    *_, began, done = live.rollouts.history(NAME)
    assert (began.action, began.who, began.why, done.action) == ("return", "ann", "wrong", "promote")
    champion = live.registry.champion(NAME)
    assert champion is not None
    assert champion.version == 2
    *_, entry = live.ledger.entries(subject_name=f"{NAME}/champion", kind="promotion")
    assert entry.subject == version.sha256
    assert entry.body == {
        "version": 2,
        "service": record.stable.sha256,
        "revision": done.revision,
        "at": done.at,
        "by": "ann",
        "because": "wrong",
        "instead_of": 3,
    }


def promotions(workspace: Workspace) -> list[tuple[int, int]]:
    entries = workspace.ledger.entries(subject_name=f"{NAME}/champion", kind="promotion")
    return [(entry.body["version"], entry.body["revision"]) for entry in entries]


def test_the_same_way_back_twice_is_told_twice_and_each_once(live: Workspace) -> None:
    for back in (2, 3, 2):
        version, _ = answering.roll_back(live, NAME, Run.new(), by="ann", reason="wrong", to=back)
        assert version.version == back
    told = promotions(live)
    assert [version for version, _ in told] == [1, 2, 3, 2, 3, 2]
    assert len({revision for _, revision in told}) == 6
    assert rollout.project(live, NAME, Run.new()) == 0 and promotions(live) == told
    champion = live.registry.champion(NAME)
    assert champion is not None and champion.version == 2


def test_ledger_and_registry_catch_up_with_what_happened_without_them(live: Workspace) -> None:
    """The supervisor works on while they are away; whoever comes next tells them, exactly once."""
    old = live.rollouts.load(NAME).previous
    assert old is not None
    for why in ("errors", "errors again"):
        live.rollouts.update(NAME, lambda record: started(record, old, by="x", why="y"))
        live.rollouts.update(NAME, lambda record, why=why: rolled_back(record, why=why))
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: rollout.project(Workspace(live.settings), NAME, Run.new()), range(4))) == 2
    entries = live.ledger.entries(subject_name=f"{NAME}/champion", kind="rollback")
    assert [entry.body["because"] for entry in entries] == ["errors", "errors again"]
    assert {entry.body["by"] for entry in entries} == {"supervisor"}
    champion = live.registry.champion(NAME)
    assert champion is not None and champion.version == 3


def test_after_a_record_that_was_set_back_what_happens_is_told(live: Workspace) -> None:
    """As by a backup of the folder alone: its revisions are counted from there again."""
    records = live.settings.local / "rollout" / "records"
    files = [records / f"{NAME}.json", records / f"{NAME}.history.jsonl"]
    before = [file.read_bytes() for file in files]
    answering.roll_back(live, NAME, Run.new(), by="bob", reason="bad", to=1)
    assert newest(live) == (1, 1)
    for file, content in zip(files, before, strict=True):
        file.write_bytes(content)
    answering.roll_back(live, NAME, Run.new(), by="eve", reason="worse", to=2)
    assert newest(live) == (2, 2)
    assert rollout.project(live, NAME, Run.new()) == 0


def test_what_was_rejected_or_is_gone_is_passed_over(live: Workspace) -> None:
    rejected(live, 2)
    version, backend = answering.way_back(live, NAME, 3)
    assert (version.version, backend.version) == (1, 1)
    # Content that is not what the ledger says is no package of that version.
    (live.settings.local / backend.path / bundle.SOURCE / "code.py").write_text("VERSION = 7")
    with pytest.raises(PlatformError, match=r"version 2 is rejected by ann; the package .* of version 1 is not here"):
        answering.way_back(live, NAME, 3)


def test_a_way_back_never_leads_to_what_one_has_left_unless_it_is_named(live: Workspace) -> None:
    """An operator who is not sure that the first one was carried out asks again."""

    def rolled_back_to(to: int = 0) -> int:
        return answering.roll_back(live, NAME, Run.new(), by="ann", reason="wrong", to=to)[0].version

    assert [rolled_back_to(), rolled_back_to()] == [2, 1]
    with pytest.raises(PlatformError, match=r"version 3 was left before; ml-platform rollout rollback tiny --to 3\)"):
        rolled_back_to()
    assert rolled_back_to(3) == 3
    assert rolled_back_to(2) == 2
    # 1 and 3 were left for another.
    with pytest.raises(PlatformError, match=r"version 3 was left before; .*version 1 was left before"):
        rolled_back_to()
    assert rolled_back_to(3) == 3
    with pytest.raises(PlatformError, match="tiny: version 3 answers already"):
        rolled_back_to(3)
    with pytest.raises(PlatformError, match="version 7 never answered"):
        rolled_back_to(7)
    with pytest.raises(PlatformError, match="give a name and a reason"):
        answering.roll_back(live, NAME, Run.new(), by="ann", reason=" ")


def test_after_a_withdrawal_the_version_before_it_answers_or_the_one_that_is_named(live: Workspace) -> None:
    for to, back in ((0, 2), (2, 2), (1, 1)):
        rollout.decide(live, NAME, "withdraw", by="ann", reason="wrong")
        assert live.rollouts.load(NAME).backends == ()
        version, _ = answering.roll_back(live, NAME, Run.new(), by="ann", reason="back", to=to)
        assert version.version == back
    rollout.decide(live, NAME, "withdraw", by="ann", reason="wrong")
    with pytest.raises(PlatformError, match="nothing of tiny answers: it was withdrawn by ann"):
        rollout.decide(live, NAME, "withdraw", by="bob", reason="wrong")


def test_a_candidate_that_answered_before_may_be_named(live: Workspace) -> None:
    answering.roll_back(live, NAME, Run.new(), by="ann", reason="wrong")
    three = next(change.stable for change in live.rollouts.history(NAME) if change.after == 3)
    assert three is not None
    live.rollouts.update(NAME, lambda record: started(record, three, by="x", why="y"))
    assert answering.roll_back(live, NAME, Run.new(), by="ann", reason="all of it", to=3)[0].version == 3
    registered(live.registry, trained(live.registry, NAME, seed=4), "approved")
    live.rollouts.update(NAME, lambda record: started(record, package(live.settings, 4), by="x", why="y"))
    assert answering.roll_back(live, NAME, Run.new(), by="ann", reason="not 4")[0].version == 3


def test_where_nothing_else_ever_answered_that_is_said(settings: Settings) -> None:
    with pytest.raises(PlatformError, match=r"no version to go back to \(no other ever answered\)"):
        answering.way_back(Workspace(settings), "a_b", 1)


@pytest.mark.slow
def test_a_live_version_is_rejected_and_the_one_before_really_answers(with_models: Path, tmp_path: Path) -> None:
    few = {"gates": gates(performance={"min": 0.5}, baseline={"min": -0.5}, champion={"min": -0.5})}
    first = declared(models={MODEL: few})
    other = declared(models={MODEL: {**few, "parameters": {**PARAMETERS, "rounds": 7}}})
    project = copy_of(with_models, tmp_path / "project", first, ML_PLATFORM_PORTS=ports(3490, 10))
    try:
        for catalogue in (first, other):
            outcome = project.variant(catalogue).train()
            assert outcome.success, outcome.error
        with project.active() as workspace:
            second, context = workspace.registry.get(MODEL, 2), project.variant(other).context()
            assert answering.answers(workspace, MODEL, 2)
            approval.decide(workspace, context, second, "rejected", by="ann", reason="wrong", run=Run.new())
            version, url = answering.go_back(workspace, MODEL, 2, Run.new(), by="ann", reason="wrong")
            assert version.version == 1
            assert control.wait_live(workspace.settings, MODEL, workspace.rollouts.load(MODEL).stable.sha256) == url  # pyright: ignore[reportOptionalMemberAccess]
        # Run again, the machine brings it neither into the registry nor back to the requests.
        again = project.variant(other).train()
        assert set(STEPS) <= again.assets()
        assert "version 2 is rejected, not approved (ann: wrong)" in again.error
        with project.active() as workspace:
            assert not answering.answers(workspace, MODEL, 2)
            assert approval.standing(workspace, workspace.registry.get(MODEL, 2)).by == "ann"
    finally:
        with project.active() as workspace:
            control.stop_all(workspace.settings)
