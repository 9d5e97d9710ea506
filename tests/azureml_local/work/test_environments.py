"""Jobs in an environment of their own, for an instance that is told to build them."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.azureml_local.work.workbench import WORKSPACE, Client, Instance, command

pytestmark = pytest.mark.slow

ASK = "python -c 'import sys, tiny; print(sys.prefix, tiny.SIZE)'; python -c 'import uvicorn'"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    instance = Instance.start(tmp_path_factory.mktemp("builder"), "--build-environments")
    client = Client(instance)
    with contextlib.closing(client.http):
        yield client
    instance.stop()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of one line, so that pip needs nobody else."""
    wheel = tmp_path_factory.mktemp("wheels") / "tiny-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "SIZE = 'very small'\n")
        file.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    return wheel


def environment(client: Client, name: str, *dependencies: object) -> str:
    """The id of a new environment, whose conda file is JSON, which is YAML."""
    conda = json.dumps({"name": name, "dependencies": ["python=3.11", "pip", *dependencies]})
    body = {"properties": {"image": "mcr.microsoft.com/azureml/base", "condaFile": conda}}
    answer = client.call("PUT", f"/environments/{name}/versions/1", body)
    assert answer.status_code in (200, 201), answer.text
    return f"{WORKSPACE}/environments/{name}/versions/1"


def test_a_job_runs_in_its_own_environment_which_is_built_once(builder: Client, package: Path) -> None:
    names = [environment(builder, name, {"pip": [str(package)]}) for name in ("one", "same")]
    jobs = [builder.submit(command(ASK, environmentId=name)) for name in names]
    assert [builder.ended(job) for job in jobs] == ["Failed", "Failed"]  # of the last import alone
    for job in jobs:
        told = builder.log(job)
        assert f"{builder.instance.root}/environments/" in told
        assert "very small" in told
        assert "No module named 'uvicorn'" in told
    assert len(list((builder.instance.root / "environments").iterdir())) == 1


@pytest.mark.parametrize(
    ("dependency", "why"),
    [
        ({"pip": ["/nowhere/tiny-2.0-py3-none-any.whl"]}, "No such file or directory"),
        ("numpy=2", "There is no conda here for numpy=2"),
    ],
)
def test_what_cannot_be_built_is_the_jobs_failure(builder: Client, dependency: object, why: str) -> None:
    name = "pip" if isinstance(dependency, dict) else "conda"
    job = builder.submit(command("true", environmentId=environment(builder, name, dependency)))
    assert builder.ended(job) == "Failed"
    error = builder.history(f"{job}/details")["error"]["error"]
    assert error["code"] == "ImageBuildFailure"
    assert error["message"].startswith("Image build failed. ")
    assert why in error["message"]


def test_without_being_told_a_job_runs_in_the_services_python(client: Client) -> None:
    name = environment(client, "ignored", {"pip": ["nothing-of-that-name"]})
    assert (
        client.ended(client.submit(command("python -c 'import uvicorn'", environmentId=name))) == "Completed"
    )
