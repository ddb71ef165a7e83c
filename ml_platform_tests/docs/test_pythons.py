"""The versions of Python that are promised are those that are tested."""

import re
import tomllib

import yaml

from ml_platform_tests.conftest import ROOT


def test_what_is_promised_is_what_is_tested() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    tested = {
        version for job in jobs.values() for version in job.get("strategy", {}).get("matrix", {}).get("python", ())
    }
    minors = sorted(int(version.partition(".")[2]) for version in tested)
    assert minors == [*range(minors[0], minors[-1] + 1)]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">=3.{minors[0]},<3.{minors[-1] + 1}"
    promised = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert {*promised} == tested
    makefile = (ROOT / "Makefile").read_text()
    (candidates,) = re.findall(r"^CANDIDATES := (.*)$", makefile, re.MULTILINE)
    assert {*re.findall(r"3\.\d+", candidates)} == tested
    assert f"(3, {minors[0]}) <= sys.version_info < (3, {minors[-1] + 1})" in makefile
    for page in ("README.md", "docs/development.md"):
        assert f"Python 3.{minors[0]} to 3.{minors[-1]}" in (ROOT / page).read_text(), page
