"""Workspaces, computes, sizes and quota: the same questions through both of Microsoft's clients."""

import datetime as dt
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from tests.azureml_local.conftest import GROUP, WORKSPACE, WORKSPACE_PATH, Instance, Wire

A100 = "Standard_NC24ads_A100_v4"


class Client(Protocol):
    """What both clients can do, in the same words."""

    def workspace(self) -> tuple[str, str]: ...
    def workspaces(self) -> list[str]: ...
    def create(self, name: str, size: str, most: int) -> str: ...
    def get(self, name: str) -> tuple[str, int]: ...
    def names(self) -> list[str]: ...
    def nodes(self, name: str) -> list[str]: ...
    def delete(self, name: str) -> None: ...
    def sizes(self) -> dict[str, tuple[int, int]]: ...
    def limits(self) -> dict[str, int]: ...


class AzureAiMl:
    """azure-ai-ml."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def workspace(self) -> tuple[str, str]:
        found = self._client.workspaces.get(WORKSPACE)
        return found.name, found.location

    def workspaces(self) -> list[str]:
        return [found.name for found in self._client.workspaces.list()]

    def create(self, name: str, size: str, most: int) -> str:
        from azure.ai.ml.entities import AmlCompute

        asked = AmlCompute(name=name, size=size, min_instances=0, max_instances=most)
        return str(self._client.compute.begin_create_or_update(asked).result().provisioning_state)

    def get(self, name: str) -> tuple[str, int]:
        found = self._client.compute.get(name)
        return found.size, found.max_instances

    def names(self) -> list[str]:
        return [found.name for found in self._client.compute.list()]

    def nodes(self, name: str) -> list[str]:
        return [node.node_state for node in self._client.compute.list_nodes(name)]

    def delete(self, name: str) -> None:
        self._client.compute.begin_delete(name).wait()

    def sizes(self) -> dict[str, tuple[int, int]]:
        # In 1.35 the vCPUs are under their wire name only.
        return {size.name: (size.vCPUs, size.gpus) for size in self._client.compute.list_sizes()}

    def limits(self) -> dict[str, int]:
        return {usage.name["value"]: usage.limit for usage in self._client.compute.list_usage()}


class Management:
    """azure-mgmt-machinelearningservices."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._where = (GROUP, WORKSPACE)

    def workspace(self) -> tuple[str, str]:
        found = self._client.workspaces.get(*self._where)
        return found.name, found.location

    def workspaces(self) -> list[str]:
        return [found.name for found in self._client.workspaces.list_by_resource_group(GROUP)]

    def create(self, name: str, size: str, most: int) -> str:
        from azure.mgmt.machinelearningservices import models

        properties = models.AmlComputeProperties(
            vm_size=size, scale_settings=models.ScaleSettings(max_node_count=most)
        )
        asked = models.ComputeResource(location="eastus", properties=models.AmlCompute(properties=properties))
        poller = self._client.machine_learning_compute.begin_create_or_update(*self._where, name, asked)
        return str(poller.result().properties.provisioning_state)

    def get(self, name: str) -> tuple[str, int]:
        found = self._client.machine_learning_compute.get(*self._where, name).properties.properties
        return found.vm_size, found.scale_settings.max_node_count

    def names(self) -> list[str]:
        return [found.name for found in self._client.machine_learning_compute.list_by_workspace(*self._where)]

    def nodes(self, name: str) -> list[str]:
        nodes = self._client.machine_learning_compute.list_nodes(*self._where, name)
        return [node.node_state for node in nodes]

    def delete(self, name: str) -> None:
        self._client.machine_learning_compute.begin_delete(*self._where, name, "Delete").wait()

    def sizes(self) -> dict[str, tuple[int, int]]:
        return {
            size.name: (size.v_cp_us, size.gpus)
            for size in self._client.virtual_machine_sizes.list("eastus").aml_compute
        }

    def limits(self) -> dict[str, int]:
        return {usage.name.value: usage.limit for usage in self._client.usages.list("eastus")}


@pytest.fixture(params=[AzureAiMl, Management], ids=["azure-ai-ml", "azure-mgmt"])
def client(request: pytest.FixtureRequest, azure: Instance) -> Client:
    name = "ml_client" if request.param is AzureAiMl else "management_client"
    made: Client = request.param(request.getfixturevalue(name))
    return made


@pytest.mark.slow
def test_the_workspace_answers_to_every_name(client: Client) -> None:
    assert client.workspace() == (WORKSPACE, "eastus")
    assert client.workspaces() == ["local"]


@pytest.mark.slow
def test_a_cluster_is_created_found_in_any_case_and_deleted(client: Client) -> None:
    from azure.core.exceptions import ResourceNotFoundError

    name = f"gpu-{type(client).__name__}"
    with pytest.raises(ResourceNotFoundError):
        client.get(name)
    assert client.create(name, A100.lower(), 2).lower().endswith("succeeded")
    assert client.get(name.upper()) == (A100, 2)
    assert name in client.names()
    assert client.nodes(name) == []
    assert client.create(name, A100, 3).lower().endswith("succeeded")
    assert client.get(name) == (A100, 3)
    client.delete(name)
    assert name not in client.names()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "most", "words"),
    [
        ("Standard_NC24rs_v3", 1, "retired on 2025-09-30"),
        ("Standard_Imaginary", 1, "does not exist"),
        (A100, 5, "Maximum allowed: 96, Current in use: 0, Additional requested: 120"),
        ("Standard_ND96isr_H100_v5", 1, "Maximum allowed: 0"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(
    client: Client, size: str, most: int, words: str
) -> None:
    from azure.core.exceptions import HttpResponseError

    with pytest.raises(HttpResponseError, match=words) as caught:
        client.create("wanted", size, most)
    assert caught.value.status_code == 400
    assert "wanted" not in client.names()


@pytest.mark.slow
def test_sizes_and_limits_of_today(client: Client) -> None:
    sizes, limits = client.sizes(), client.limits()
    assert sizes[A100] == (24, 1)
    assert sizes["Standard_DS3_v2"] == (4, 0)
    assert "Standard_NC24rs_v3" not in sizes
    assert limits["StandardNCADSA100v4Family"] == 96
    assert limits["standardNDv5H100Family"] == 0
    assert "TotalLowPriorityCores" in limits


def _cluster(size: str = A100, **settings: Any) -> dict[str, Any]:
    return {"properties": {"computeType": "AmlCompute", "properties": {"vmSize": size, **settings}}}


def test_the_day_decides_what_is_retired(open_wire: Callable[..., Wire]) -> None:
    before = open_wire(as_of=dt.date(2025, 9, 29))
    region = "/subscriptions/s/providers/Microsoft.MachineLearningServices/locations/eastus"
    listed = before.call("GET", f"{region}/vmSizes")
    assert "Standard_NC24rs_v3" in [size["name"] for size in listed.json()["value"]]
    response = before.call("PUT", f"{WORKSPACE_PATH}/computes/v100", json=_cluster("Standard_NC24rs_v3"))
    assert response.status_code == 201
    assert before.settled(response)["status"] == "Succeeded"
    after = open_wire(as_of=dt.date(2025, 9, 30))
    assert after.call("GET", f"{WORKSPACE_PATH}/computes/v100").status_code == 200, "what exists stays"
    refused = after.call("PUT", f"{WORKSPACE_PATH}/computes/more", json=_cluster("Standard_NC24rs_v3"))
    assert refused.json()["error"]["code"] == "InvalidVmSize"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"properties": {"computeType": "ComputeInstance"}}, 501, "NotImplemented"),
        ({"properties": "text"}, 400, "UserError"),
        ([], 400, "InvalidRequestContent"),
        (_cluster(scaleSettings={"minNodeCount": 2, "maxNodeCount": 1}), 400, "InvalidRequestContent"),
        (_cluster(scaleSettings={"maxNodeCount": "many"}), 400, "InvalidRequestContent"),
        (_cluster(vmPriority="Cheap"), 400, "InvalidRequestContent"),
        (
            _cluster(vmPriority="LowPriority", scaleSettings={"maxNodeCount": 9}),
            400,
            "ClusterCoreQuotaReached",
        ),
    ],
)
def test_what_is_no_cluster_is_refused(wire: Wire, body: Any, status: int, code: str) -> None:
    response = wire.call("PUT", f"{WORKSPACE_PATH}/computes/cpu-1", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert wire.call("GET", f"{WORKSPACE_PATH}/computes").json() == {"value": []}


@pytest.mark.parametrize("name", ["a", "1st", "under_score", "x" * 33, "ends-"])
def test_names_of_clusters_are_checked(wire: Wire, name: str) -> None:
    response = wire.call("PUT", f"{WORKSPACE_PATH}/computes/{name}", json=_cluster())
    assert response.json()["error"]["code"] == "InvalidComputeName"


def test_a_clusters_size_stays_what_it_is(wire: Wire) -> None:
    wire.settled(wire.call("PUT", f"{WORKSPACE_PATH}/computes/gpu", json=_cluster()))
    response = wire.call("PUT", f"{WORKSPACE_PATH}/computes/gpu", json=_cluster("Standard_DS3_v2"))
    assert (response.status_code, response.json()["error"]["code"]) == (400, "BadRequest")


def test_creation_goes_on_after_a_restart(open_wire: Callable[..., Wire]) -> None:
    slow = open_wire(pace="3600")
    response = slow.call("PUT", f"{WORKSPACE_PATH}/computes/gpu", json=_cluster())
    assert response.json()["properties"]["provisioningState"] == "Creating"
    slow.run(slow.service.operations.close())
    again = open_wire()
    assert again.settled(response)["status"] == "Succeeded"
    found = again.call("GET", f"{WORKSPACE_PATH}/computes/gpu").json()
    assert found["properties"]["provisioningState"] == "Succeeded"
