"""Endpoints and deployments without a process: names, keys, traffic, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.azureml_local.conftest import WORKSPACE_PATH, Wire

ENDPOINT = f"{WORKSPACE_PATH}/onlineEndpoints/chat"
MODEL = f"{WORKSPACE_PATH}/models/chat/versions/1"


def endpoint(wire: Wire, name: str = "chat", workspace: str = WORKSPACE_PATH, **properties: Any) -> Any:
    body = {"location": "eastus", "properties": {"authMode": "Key", **properties}}
    return wire.call("PUT", f"{workspace}/onlineEndpoints/{name}", json=body)


def deployment(wire: Wire, name: str = "blue", capacity: int = 1, **properties: Any) -> Any:
    given = {
        "endpointComputeType": "Managed",
        "model": MODEL,
        "instanceType": "Standard_DS3_v2",
        **properties,
    }
    body = {"location": "eastus", "sku": {"name": "Default", "capacity": capacity}, "properties": given}
    return wire.call("PUT", f"{ENDPOINT}/deployments/{name}", json=body)


def message(answer: Any) -> str:
    return str(answer.json()["error"]["message"])


@pytest.fixture
def chat(wire: Wire) -> Wire:
    """A service with one endpoint and one registered model that is none."""
    wire.settled(endpoint(wire))
    folder = wire.service.blobs.datastore_path("azureml://datastores/workspaceblobstore/paths/model")
    folder.mkdir(parents=True)
    (folder / "weights").write_text("none")
    model = {"modelType": "custom_model", "modelUri": "azureml://datastores/workspaceblobstore/paths/model"}
    assert wire.call("PUT", MODEL, json={"properties": model}).status_code == 201
    return wire


def known_deployment(wire: Wire, name: str = "blue") -> None:
    """A deployment's record alone, as after a restart: no process."""
    properties = {"instanceType": "Standard_DS3_v2", "provisioningState": "Failed"}
    document = {"name": name, "properties": properties, "sku": {"capacity": 1}, "systemData": {}}
    wire.service.state.put("deployments", f"chat/{name}", document)


def test_an_endpoint_is_created_with_two_random_keys_and_no_traffic(wire: Wire) -> None:
    created = endpoint(wire, description="d")
    assert (created.status_code, created.json()["properties"]["provisioningState"]) == (201, "Creating")
    assert wire.settled(created)["status"] == "Succeeded"
    shown = wire.call("GET", ENDPOINT).json()["properties"]
    assert shown["provisioningState"] == "Succeeded"
    assert shown["scoringUri"] == "https://chat.eastus.inference.ml.azure.com/score"
    assert (shown["traffic"], shown["description"]) == ({}, "d")
    keys = wire.call("POST", f"{ENDPOINT}/listKeys").json()
    assert len(set(keys.values())) == 2
    assert [
        each["name"] for each in wire.call("GET", f"{WORKSPACE_PATH}/onlineEndpoints").json()["value"]
    ] == ["chat"]


def test_keys_are_replaced_one_at_a_time(chat: Wire) -> None:
    before = chat.call("POST", f"{ENDPOINT}/listKeys").json()
    chat.settled(chat.call("POST", f"{ENDPOINT}/regenerateKeys", json={"keyType": "Primary"}))
    after = chat.call("POST", f"{ENDPOINT}/listKeys").json()
    assert after["primaryKey"] != before["primaryKey"]
    assert after["secondaryKey"] == before["secondaryKey"]
    assert chat.call("POST", f"{ENDPOINT}/regenerateKeys", json={"keyType": "Third"}).status_code == 400


@pytest.mark.parametrize("name", ["ab", "a" * 33, "1chat", "chat-", "Llama-3.2"])
def test_names_are_3_to_32_letters_digits_and_hyphens(wire: Wire, name: str) -> None:
    answer = endpoint(wire, name)
    assert answer.status_code == 400
    assert f"Endpoint name '{name}' is invalid" in message(answer)


def test_a_name_taken_by_another_workspace_is_refused(chat: Wire) -> None:
    answer = endpoint(chat, workspace=WORKSPACE_PATH.replace("test-workspace", "another"))
    assert answer.status_code == 400
    assert message(answer) == (
        "There is already an endpoint with this name, Endpoint name needs to be unique within a region."
        " Try some other name."
    )


def test_the_caller_may_write_the_workspace_in_any_case(chat: Wire) -> None:
    assert endpoint(chat, workspace=WORKSPACE_PATH.replace("test-group", "TEST-GROUP")).status_code == 200


def test_an_unknown_auth_mode_is_refused(wire: Wire) -> None:
    assert "authMode must be one of Key" in message(endpoint(wire, authMode="Password"))


@pytest.mark.parametrize(
    ("traffic", "said"),
    [
        ({"traffic": {"green": 100}}, "Deployment 'green' in the traffic does not exist."),
        ({"traffic": {"blue": 90}}, "must sum to 0 or 100, not 90"),
        ({"traffic": {"blue": 100.0}}, "must be a whole percentage, not 100.0"),
        ({"traffic": {"blue": -1}}, "must be a whole percentage, not -1"),
        ({"mirrorTraffic": {"blue": 60}}, "The mirror traffic must not exceed 50."),
    ],
)
def test_wrong_traffic_is_refused(chat: Wire, traffic: dict[str, Any], said: str) -> None:
    known_deployment(chat)
    answer = endpoint(chat, **traffic)
    assert answer.status_code == 400
    assert said in message(answer)


def test_right_traffic_is_kept_and_guards_its_deployment(chat: Wire) -> None:
    known_deployment(chat)
    chat.settled(endpoint(chat, traffic={"blue": 100}))
    assert chat.call("GET", ENDPOINT).json()["properties"]["traffic"] == {"blue": 100}
    refused = chat.call("DELETE", f"{ENDPOINT}/deployments/blue")
    assert refused.status_code == 400
    assert "'blue' receives 100 % of the traffic" in message(refused)
    chat.settled(endpoint(chat, traffic={"blue": 0}))
    assert chat.settled(chat.call("DELETE", f"{ENDPOINT}/deployments/blue"))["status"] == "Succeeded"
    assert chat.call("GET", ENDPOINT).json()["properties"]["traffic"] == {}


def test_what_is_in_progress_blocks_the_next_change(open_wire: Callable[..., Wire]) -> None:
    wire = open_wire(pace="30")
    assert endpoint(wire).status_code == 201
    again = endpoint(wire)
    assert again.status_code == 409
    assert message(again) == "Cannot update endpoint chat because it is in Creating provisioning state."
    early = deployment(wire)
    assert early.status_code == 409
    assert (
        message(early)
        == "Cannot create a deployment in endpoint chat because it is in Creating provisioning state."
    )
    assert wire.call("DELETE", ENDPOINT).status_code == 202
    assert "already an endpoint with this name" in message(endpoint(wire))


def test_an_operation_that_a_restart_interrupted_is_finished(open_wire: Callable[..., Wire]) -> None:
    slow = open_wire(pace="30")
    created = endpoint(slow)
    slow.run(slow.service.operations.close())
    again = open_wire(slow.service.state.root)
    assert again.settled(created)["status"] == "Succeeded"
    assert again.call("GET", ENDPOINT).json()["properties"]["provisioningState"] == "Succeeded"


def test_deleting_takes_deployments_and_keys_along(chat: Wire) -> None:
    known_deployment(chat)
    assert chat.settled(chat.call("DELETE", ENDPOINT))["status"] == "Succeeded"
    assert chat.call("GET", ENDPOINT).status_code == 404
    assert chat.service.state.all("deployments") == chat.service.state.all("endpoint_keys") == []
    assert chat.call("DELETE", ENDPOINT).status_code == 204


@pytest.mark.parametrize(
    ("properties", "status", "said"),
    [
        (
            {"model": f"{WORKSPACE_PATH}/models/chat/versions/9"},
            404,
            "models asset 'chat' version '9' was not found",
        ),
        ({"model": None}, 400, "names no model"),
        ({"instanceType": "Standard_NC6s_v3"}, 400, "it was retired on 2025-09-30"),
        ({"instanceType": "Standard_Unheard_of"}, 400, "there is no such size"),
        (
            {"requestSettings": {"requestTimeout": "PT3M1S"}},
            400,
            "requestTimeout must be at most 180 s, not 181 s",
        ),
        ({"codeConfiguration": {"scoringScript": "score.py"}}, 501, "scoring script are not implemented"),
        ({"capacity": 0}, 400, "instance count must be 1 to 50, not 0"),
        ({"capacity": 50}, 400, "Not enough quota available for Standard_DS3_v2. Current usage/limit: 0/"),
        ({"name": "x"}, 400, "Deployment name 'x' is invalid"),
    ],
)
def test_what_azure_would_not_deploy_is_refused(chat: Wire, properties: Any, status: int, said: str) -> None:
    answer = deployment(chat, **properties)
    assert said in message(answer)
    assert answer.status_code == status
    assert chat.call("GET", f"{ENDPOINT}/deployments").json()["value"] == []


def test_a_model_that_is_no_mlflow_model_fails_its_deployment(chat: Wire) -> None:
    created = deployment(chat)
    assert created.status_code == 201
    ended = chat.settled(created)
    assert ended["status"] == "Failed"
    assert "no MLmodel file" in ended["error"]["message"]
    shown = chat.call("GET", f"{ENDPOINT}/deployments/blue").json()["properties"]
    assert shown["provisioningState"] == "Failed"
    assert shown["scaleSettings"] == {"scaleType": "Default"}  # without it the SDK cannot read the answer


def test_unknown_endpoints_and_deployments_are_told(chat: Wire) -> None:
    assert (
        chat.call("GET", f"{WORKSPACE_PATH}/onlineEndpoints/other").json()["error"]["code"]
        == "ResourceNotFound"
    )
    assert chat.call("GET", f"{ENDPOINT}/deployments/other").status_code == 404
    assert chat.call("DELETE", f"{ENDPOINT}/deployments/other").status_code == 204


SCORE = "https://chat.eastus.inference.ml.azure.com/score"


def test_scoring_asks_for_the_endpoints_key(chat: Wire) -> None:
    wrong = chat.call("POST", SCORE, json={}, headers={"authorization": "Bearer wrong"})
    assert (wrong.status_code, wrong.text) == (401, "key_auth_access_denied")


def test_scoring_without_weight_or_of_unknown_names_is_404(chat: Wire) -> None:
    key = {"authorization": f"Bearer {chat.call('POST', f'{ENDPOINT}/listKeys').json()['primaryKey']}"}
    assert "no valid deployment with positive weight" in message(
        chat.call("POST", SCORE, json={}, headers=key)
    )
    named = chat.call("POST", SCORE, json={}, headers=key | {"azureml-model-deployment": "green"})
    assert (named.status_code, "'green' could not be found" in message(named)) == (404, True)
    elsewhere = SCORE.replace("chat", "other")
    assert chat.call("POST", elsewhere, json={}, headers=key).status_code == 404


def test_a_token_endpoint_takes_a_token_instead_of_a_key(wire: Wire) -> None:
    wire.settled(endpoint(wire, authMode="AADToken"))
    assert wire.call("POST", f"{ENDPOINT}/listKeys").status_code == 400
    assert wire.call("POST", SCORE, json={}, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert wire.call("POST", SCORE, json={}).status_code == 404  # let in; there is nothing to ask yet
