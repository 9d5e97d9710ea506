"""Deployments as processes: what they answer, how they fail, and how requests find them."""

import collections
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.azureml_local.work.workbench import DATA, WORKSPACE, Client

pytestmark = pytest.mark.slow

ENDPOINT = "/onlineEndpoints/echo"
SCORE = "https://echo.eastus.inference.ml.azure.com/score"


def deploy(client: Client, name: str, model: str = "echo", **settings: Any) -> dict[str, Any]:
    properties = {
        "endpointComputeType": "Managed",
        "model": f"{WORKSPACE}/models/{model}/versions/1",
        "instanceType": "Standard_DS3_v2",
        "environmentVariables": {"COLOUR": name},
        "requestSettings": {"requestTimeout": "PT2S", **settings},
    }
    body = {"location": "eastus", "sku": {"name": "Default", "capacity": 1}, "properties": properties}
    return client.settled(client.call("PUT", f"{ENDPOINT}/deployments/{name}", body))


def traffic(client: Client, **weights: int) -> None:
    body = {"location": "eastus", "properties": {"authMode": "Key", "traffic": weights}}
    assert client.settled(client.call("PUT", ENDPOINT, body))["status"] == "Succeeded"


@pytest.fixture(scope="module")
def echo(client: Client, mlflow_model: Path) -> Iterator[Client]:
    """An endpoint with two deployments of an echoing model, blue and green."""
    for file in mlflow_model.rglob("*"):
        if file.is_file():
            client.upload(f"models/echo/{file.relative_to(mlflow_model)}", file.read_text())
    model = {"modelType": "mlflow_model", "modelUri": f"{DATA}/models/echo"}
    assert client.call("PUT", "/models/echo/versions/1", {"properties": model}).status_code == 201
    traffic(client)
    for name in ("blue", "green"):
        assert deploy(client, name)["status"] == "Succeeded"
    yield client
    assert client.settled(client.call("DELETE", ENDPOINT))["status"] == "Succeeded"


def ask(client: Client, data: Any, **headers: str) -> httpx.Response:
    key = client.call("POST", f"{ENDPOINT}/listKeys").json()["secondaryKey"]
    headers = {"Authorization": f"Bearer {key}", **headers}
    return client.call("POST", SCORE, {"input_data": data}, headers=headers)


def test_the_header_chooses_the_deployment_and_the_answer_names_it(echo: Client) -> None:
    for name in ("blue", "green"):
        answer = ask(echo, {"environment": "COLOUR"}, **{"azureml-model-deployment": name})
        assert (answer.status_code, answer.json()) == (200, name)
        assert answer.headers["azureml-model-deployment"] == name


def test_weights_choose_the_deployment(echo: Client) -> None:
    traffic(echo, blue=50, green=50)
    counts = collections.Counter(ask(echo, {"environment": "COLOUR"}).json() for _ in range(40))
    assert set(counts) == {"blue", "green"}  # 2 in 10^12 that this fails by chance
    traffic(echo, blue=0, green=100)
    assert {ask(echo, {"environment": "COLOUR"}).json() for _ in range(10)} == {"green"}
    traffic(echo)
    assert ask(echo, []).status_code == 404


def test_a_models_exception_is_424_with_its_own_status(echo: Client) -> None:
    answer = ask(echo, {"fail": "out of words"}, **{"azureml-model-deployment": "blue"})
    assert answer.status_code == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
    assert answer.headers["ms-azureml-model-error-reason"] == "model_error"
    assert answer.json()["exception"] == "out of words"
    logs = echo.call("POST", f"{ENDPOINT}/deployments/blue/getLogs", {"tail": 20}).json()["content"]
    assert "ValueError: out of words" in logs


def test_a_slow_answer_is_408_and_too_many_pending_are_429(echo: Client) -> None:
    statuses: list[int] = []

    def slow() -> None:
        answer = ask(echo, {"sleep_seconds": 3}, **{"azureml-model-deployment": "green"})
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=slow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [408, 408, 429]  # two may be pending: 2 × 1 concurrent × 1 instance


def test_both_containers_have_logs(echo: Client) -> None:
    body = {"containerType": "StorageInitializer", "tail": 5}
    said = echo.call("POST", f"{ENDPOINT}/deployments/blue/getLogs", body).json()["content"]
    assert "Downloading model from echo" in said
    assert (
        echo.call("POST", f"{ENDPOINT}/deployments/blue/getLogs", {"containerType": "Sidecar"}).status_code
        == 400
    )


def test_a_container_that_ends_fails_its_deployment_with_its_log(echo: Client) -> None:
    text = "flavors:\n  python_function:\n    loader_module: nowhere_to_be_found\n"
    echo.upload("models/broken/MLmodel", text)
    model = {"modelType": "mlflow_model", "modelUri": f"{DATA}/models/broken"}
    assert echo.call("PUT", "/models/broken/versions/1", {"properties": model}).status_code == 201
    ended = deploy(echo, "broken", model="broken")
    assert ended["status"] == "Failed"
    assert ended["error"]["message"].startswith("ResourceNotReady: User container has crashed or terminated")
    assert "nowhere_to_be_found" in ended["error"]["message"]
    state = echo.call("GET", f"{ENDPOINT}/deployments/broken").json()["properties"]["provisioningState"]
    assert state == "Failed"


def test_an_update_replaces_the_process_and_a_delete_ends_it(echo: Client) -> None:
    assert deploy(echo, "third")["status"] == "Succeeded"
    before = processes(echo, "third")
    assert deploy(echo, "third", maxConcurrentRequestsPerInstance=2)["status"] == "Succeeded"
    after = processes(echo, "third")
    assert len(before) == len(after) == 1
    assert before != after
    assert not psutil.pid_exists(before.pop())
    assert echo.settled(echo.call("DELETE", f"{ENDPOINT}/deployments/third"))["status"] == "Succeeded"
    assert not psutil.pid_exists(after.pop())


def test_a_container_that_is_killed_is_started_again(echo: Client) -> None:
    (supervisor,) = processes(echo, "blue")
    for process in psutil.Process(supervisor).children(recursive=True):
        process.kill()
    blue = {"azureml-model-deployment": "blue"}
    echo.until(lambda: processes(echo, "blue") not in (set(), {supervisor}))
    echo.until(lambda: ask(echo, ["again"], **blue).status_code == 200)


def test_deleting_an_endpoint_ends_a_deployment_that_is_being_created(echo: Client) -> None:
    endpoint = {"location": "eastus", "properties": {"authMode": "Key"}}
    echo.settled(echo.call("PUT", "/onlineEndpoints/brief", endpoint))
    properties = {"model": f"{WORKSPACE}/models/echo/versions/1", "instanceType": "Standard_DS3_v2"}
    created = echo.call("PUT", "/onlineEndpoints/brief/deployments/only", {"properties": properties})
    assert echo.settled(echo.call("DELETE", "/onlineEndpoints/brief"))["status"] == "Succeeded"
    echo.settled(created)
    folder = echo.instance.root / "deployments" / "brief" / "only"
    assert not folder.exists()
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in running if any("deployments/brief" in part for part in line)]


def processes(client: Client, deployment: str) -> set[int]:
    """The pids of a deployment's supervisors."""
    folder = client.instance.root / "deployments" / "echo" / deployment
    locks = [int(lock.read_text()) for lock in folder.glob("*/lock") if not lock.parent.is_symlink()]
    return {pid for pid in locks if psutil.pid_exists(pid)}
