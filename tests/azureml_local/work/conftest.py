"""One instance and one client for all tests of jobs, tracking and endpoints."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.azureml_local.work.workbench import Client, Instance, save_model


@pytest.fixture(scope="session")
def work_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    instance = Instance.start(tmp_path_factory.mktemp("work"))
    yield instance
    instance.stop()


@pytest.fixture(scope="session")
def client(work_instance: Instance) -> Iterator[Client]:
    client = Client(work_instance)
    with contextlib.closing(client.http):
        yield client


@pytest.fixture(scope="session")
def rows(client: Client) -> str:
    """A data file of seven rows on the default datastore."""
    return client.upload("tests/rows.jsonl", "{}\n" * 7)


@pytest.fixture(scope="session")
def mlflow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real MLflow model that echoes."""
    return save_model(tmp_path_factory.mktemp("model"))
