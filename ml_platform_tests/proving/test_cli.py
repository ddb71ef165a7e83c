"""``ml-platform prove`` in another team's project, which never ran anything."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ml_platform_tests.cli.conftest import Ended, calling
from ml_platform_tests.components.conftest import shop_template
from ml_platform_tests.components.shop import APRIL, DATASET, MODEL, MONTHS, Shop, free_ports

__all__ = ["shop_template"]


@pytest.fixture(scope="module")
def shop(shop_template: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Four months wait at the source."""
    shop = shop_template.copy(tmp_path_factory.mktemp("prove") / "shop")
    for month in MONTHS:
        shop.deliver(month)
    # So few rows say little: honest models differ by more than the margins of a scaffold.
    shop.edit(MODEL, "mode: non_inferior, min: -0.01", "mode: non_inferior, min: -0.9")
    shop.edit(MODEL, "metric: brier, min: 0.0", "metric: brier, min: -0.9")
    return shop


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """``ml-platform`` in a project, called in this process."""
    with ExitStack() as stack:
        yield lambda shop, *arguments: stack.enter_context(calling(shop, {}, monkeypatch, capfd))(*arguments)


def test_alarms_on_clean_data_are_counted_per_gate(shop: Shop, invoke: Callable[..., Ended], tmp_path: Path) -> None:
    result = tmp_path / "alarms.json"
    code, out, err = invoke(shop, "prove", "--model", MODEL, "--alarms", "--json", str(result))
    assert code == 0, out + err
    assert f"4 partitions of {DATASET} from its source" in out
    assert "blocking alarms from 2024-03-01 to 2024-04-01: 0;" in out
    written = json.loads(result.read_text())
    assert written["partitions"] == list(MONTHS) and written["breaks"] == []
    on_batches = {"schema", "rules", "missing", "outcomes", "duplicates", "window", "volume", "correction"}
    gates = on_batches | {"ranges", "leakage", "parity"}
    on_models = {"disjoint", "time_order", "performance_auc", "baseline_brier", "champion_auc", "leak_alarm_auc"}
    assert {rate["gate"] for rate in written["alarms"]} == gates | on_models
    assert all(rate["second"] == 2 and rate["second_alarms"] == 0 for rate in written["alarms"])
    assert [(one["train"], one["holdout"]) for one in written["windows"]] == [
        (list(MONTHS[:place]), [MONTHS[place]]) for place in (1, 2, 3)
    ]
    assert {gate["gate"] for window in written["windows"] for gate in window["gates"]} == on_models
    # Nothing but the trainings, for the next time.
    assert [path.name for path in (shop.root / ".local").iterdir()] == ["windows"]


def test_more_alarms_than_allowed_end_with_1(shop: Shop, invoke: Callable[..., Ended], tmp_path: Path) -> None:
    busy = shop.copy(tmp_path / "busy")
    busy.deliver(APRIL, rows=1800)
    strict = invoke(busy, "prove", "--model", MODEL, "--alarms", "--allowed", "0")
    assert strict.code == 1 and "to 2024-04-01: 1;" in strict.out
    assert f"alarm of volume on {APRIL}: 1800 rows" in strict.out


def test_thresholds_are_suggested_as_lines_that_can_be_pasted(
    shop: Shop, invoke: Callable[..., Ended], tmp_path: Path
) -> None:
    other = shop.copy(tmp_path / "strict")
    other.edit(MODEL, "metric: auc, max: 0.95", "metric: auc, max: 0.3")
    done = invoke(other, "suggest", MODEL, "--until", APRIL, "--json", "-")
    assert done.code == 0, done.err
    written = json.loads(done.out)
    found = {one["gate"]: one for one in written["suggestions"]}
    volume, leak = found["volume"], found["leak_alarm_auc"]
    assert list(volume["before"]) == list(MONTHS[1:3]) and list(volume["after"]) == [APRIL]
    assert volume["proposed"] == volume["declared"] and "2 of 3 values are too few" in volume["line"]
    assert list(leak["before"]) == list(MONTHS[1:3]) and leak["alarms_after_as_declared"] == [APRIL]
    pasted = "\n".join(f"    {one['line']}" for one in written["suggestions"] if one["owner"] == MODEL)
    file = other.defs / MODEL / "defs.yaml"
    file.write_text(f"{file.read_text().partition('  gates:')[0]}  gates:\n{pasted}\n")
    assert invoke(other, "validate").code == 0


def test_a_date_that_is_none_is_bad_usage(shop: Shop, invoke: Callable[..., Ended]) -> None:
    done = invoke(shop, "suggest", MODEL, "--until", "April")
    assert done.code == 2 and "--until: 'April' is no date; write it as YYYY-MM-DD" in done.err


def test_a_model_that_is_not_declared_is_bad_usage(shop: Shop, invoke: Callable[..., Ended]) -> None:
    code, _, err = invoke(shop, "prove", "--model", "nothing")
    assert code == 2 and err.count("\n") == 1
    assert "there is no 'nothing'" in err


def test_without_time_every_limit_is_named_as_not_measured(shop: Shop, tmp_path: Path) -> None:
    mine, result = shop.copy(tmp_path / "power"), tmp_path / "power.json"
    done = mine.ml("prove", "--model", MODEL, "--power", "--minutes", "0", "--json", str(result))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(result.read_text())
    assert found["partition"] == APRIL and found["seconds"] == 0
    assert not any(one["measured"] for one in found["limits"]) and len(found["limits"]) > 20
    assert all(f"not measured in the time: {error}: " in done.stdout for error in found["unmeasured"])
    assert "labels are shuffled in training" in found["unmeasured"]
    (page,) = (mine.root / ".local" / "power").glob("*.html")
    assert str(page) in done.stdout
    assert sorted(mine.root.joinpath(".local").iterdir()) == [page.parent]


@pytest.mark.slow
def test_a_run_with_no_more_time_shows_what_is_known(shop: Shop, tmp_path: Path) -> None:
    mine, result = shop.copy(tmp_path / "power"), tmp_path / "power.json"
    arguments = ("prove", "--model", MODEL, "--power", "--json", str(result), "--minutes")
    for minutes in ("0.1", "0.4", "1"):  # the first is enough, but where the machine is busy
        done = mine.ml(*arguments, minutes)
        assert done.returncode == 0, done.stdout + done.stderr
        if "by missing (" in done.stdout:
            break
    measured = [one for one in json.loads(result.read_text())["limits"] if one["measured"]]
    assert f"{len(measured)} limits: " in done.stdout and "by missing (0 alarms on 4 clean): " in done.stdout
    (page,) = (mine.root / ".local" / "power").glob("*.html")
    assert "<svg" in page.read_text()
    again = mine.ml(*arguments, "0")
    assert again.returncode == 0 and "goes on with" in again.stdout and ", 0 measurements made now" in again.stdout
    assert [one for one in json.loads(result.read_text())["limits"] if one["measured"]] == measured


def test_power_and_alarms_are_two_questions(shop: Shop, invoke: Callable[..., Ended]) -> None:
    code, _, err = invoke(shop, "prove", "--model", MODEL, "--power", "--alarms")
    assert code == 2 and "give --power or --alarms" in err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_break_that_no_gate_notices_ends_with_1(shop: Shop, tmp_path: Path) -> None:
    lenient = shop.copy(tmp_path / "lenient")
    lenient.edit(DATASET, "    - {gate: duplicates, max: 0}\n", "")
    result = tmp_path / "proof.json"
    done = lenient.ml(
        *("prove", "--model", MODEL, "--partitions", "3", "--rounds", "10", "--json", str(result)),
        ML_PLATFORM_PORTS=free_ports(),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "NOT CAUGHT: rows come twice" in done.stdout
    breaks = {(one["break"], one["case"]): one for one in json.loads(result.read_text())["breaks"]}
    twice = breaks["rows come twice", ""]
    assert twice["caught_by"] == "" and twice["asked"]["batch"] == 7
    assert breaks["a column is missing", "amount"]["caught_by"] == "schema"
    assert breaks["the batch breaks off in the middle", ""]["asked"]["batch"] == 7
    assert breaks["two columns change places at serving", breaks_case(breaks)]["caught_by"] == "skew"
    assert [(name, one["crashed"]) for name, one in breaks.items() if one["crashed"]] == []
    # Labels of one value alone: no metric can be measured, and no gate sees that it is the labels.
    assert {name for name, one in breaks.items() if one["errored"]} <= {("other unit: mph to m/s", "outcome")}
    assert "held back by a gate that could not judge (performance_auc: " in done.stdout
    assert not (lenient.root / ".local").exists()


def breaks_case(breaks: dict[tuple[str, str], dict[str, object]]) -> str:
    """The columns that were swapped: the two that the model looks at most."""
    (case,) = (case for name, case in breaks if name == "two columns change places at serving")
    return case
