"""Scripted misbehaviour: what is picked, what happens to it, and that it is told."""

import json
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from azureml_local.faults.control import FaultClient
from azureml_local.faults.faults import Faults
from azureml_local.faults.parsing import FaultPlanError, parse_plan, read_document
from tests.azureml_local.conftest import WORKSPACE_PATH, Instance, Wire

JOBS = f"{WORKSPACE_PATH}/jobs"
CODE = f"{WORKSPACE_PATH}/codes/c/versions/1"
CLUSTER = f"{WORKSPACE_PATH}/computes/cpu"
ENDPOINT = f"{WORKSPACE_PATH}/onlineEndpoints/answers"
CLUSTER_BODY = {"properties": {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_E4s_v3"}}}
ENDPOINT_BODY = {"location": "eastus", "properties": {"authMode": "Key"}}

Break = Callable[..., None]


@pytest.fixture
def break_it(wire: Wire) -> Break:
    """Puts one rule into force: `break_it(then, call="jobs.list_all", nth=1)`."""

    def put(then: dict[str, Any], **when: Any) -> None:
        wire.service.faults.set(parse_plan({"rules": [{"when": when, "then": then}]}))

    return put


def picked(when: dict[str, Any], count: int = 12, seed: int = 0) -> list[int]:
    faults = Faults(
        parse_plan({"seed": seed, "rules": [{"when": when, "then": {"answer": {"status": 500}}}]})
    )
    return [number for number in range(1, count + 1) if faults.of("jobs.get", "GET", "host/jobs/a")]


@pytest.mark.parametrize(
    ("when", "numbers"),
    [
        ({}, list(range(1, 13))),
        ({"nth": 2}, [2]),
        ({"nth": [1, 3]}, [1, 3]),
        ({"every": 5}, [5, 10]),
        ({"every": 5, "times": 1}, [5]),
        ({"times": 2}, [1, 2]),
        ({"probability": 0}, []),
        ({"probability": 1, "call": "jobs.*", "method": "GET", "url": "/JOBS/"}, list(range(1, 13))),
        ({"call": "jobs.put"}, []),
        ({"method": "PUT"}, []),
        ({"url": "/onlineEndpoints/"}, []),
    ],
)
def test_a_rule_picks_its_requests(when: dict[str, Any], numbers: list[int]) -> None:
    assert picked(when) == numbers


def test_chance_is_the_seeds_alone() -> None:
    assert picked({"probability": 0.5}, 50, seed=7) == picked({"probability": 0.5}, 50, seed=7)
    assert picked({"probability": 0.5}, 50, seed=7) != picked({"probability": 0.5}, 50, seed=8)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the plan must be a mapping"),
        ({"rule": []}, "the plan has no rule; it may have seed, rules"),
        ({"rules": [{"then": {}}]}, "rule 1, then: exactly one of answer"),
        ({"rules": [{"then": {"explode": True}}]}, "rule 1, then has no explode"),
        ({"rules": [{"then": {"answer": {"status": 200}}}]}, "status must be 400 to 599"),
        ({"rules": [{"then": {"answer": {}}}]}, "answer cannot be {}"),
        ({"rules": [{"then": {"answer": "no_such"}}]}, "answer cannot be 'no_such'"),
        ({"rules": [{"then": {"reset": "during"}}]}, "before or after"),
        ({"rules": [{"then": {"job_state": "Sleeping"}}]}, "'Sleeping' is not a valid Status"),
        ({"rules": [{"when": {"nth": 0}, "then": {"reset": "after"}}]}, "whole numbers from 1"),
        ({"rules": [{"when": {"nth": 1, "every": 2}, "then": {"reset": "after"}}]}, "only one of"),
        ({"rules": [{"when": {"url": "("}, "then": {"reset": "after"}}]}, "no regular expression"),
        ({"rules": [{"when": {"probability": 2}, "then": {"reset": "after"}}]}, "from 0 to 1"),
    ],
)
def test_a_plan_that_cannot_be_understood_says_where(document: object, message: str) -> None:
    with pytest.raises(FaultPlanError) as caught:
        parse_plan(document)
    assert message in str(caught.value)


def test_plans_are_yaml_files(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("rules:\n- {when: {call: 'assets.put_version[models]'}, then: {reset: after}}\n")
    faults = Faults(parse_plan(read_document(file)))
    assert faults.of("assets.put_version[models]", "PUT", "") != []
    assert faults.of("assets.put_version[codes]", "PUT", "") == []
    file.write_text("rules: [")
    with pytest.raises(FaultPlanError, match="is not YAML"):
        read_document(file)
    with pytest.raises(FaultPlanError, match="No such file"):
        read_document(tmp_path / "none.yaml")


def test_an_answer_comes_in_azures_envelope_with_its_headers(wire: Wire, break_it: Break) -> None:
    break_it({"answer": {"status": 429, "code": "TooMany", "headers": {"Retry-After": "3"}}}, nth=1)
    refused = wire.call("GET", JOBS)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    assert refused.json()["error"]["code"] == "TooMany"
    assert wire.call("GET", JOBS).status_code == 200
    (fired,) = wire.service.faults.report()["fired"]
    assert (fired["call"], fired["occurrence"], fired["method"]) == ("jobs.list_all", 1, "GET")
    assert wire.service.faults.report()["calls"] == {"jobs.list_all": 2}


@pytest.mark.parametrize(("moment", "status"), [("before", 404), ("after", 200)])
def test_a_reset_comes_before_or_after_the_effect(
    wire: Wire, break_it: Break, moment: str, status: int
) -> None:
    break_it({"reset": moment}, call="computes.put")
    with pytest.raises(ConnectionResetError):
        wire.call("PUT", CLUSTER, json=CLUSTER_BODY)
    assert wire.call("GET", CLUSTER).status_code == status


def test_a_token_expires(wire: Wire, break_it: Break) -> None:
    break_it({"expire_token": True}, nth=1)
    refused = wire.call("GET", JOBS)
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "ExpiredAuthenticationToken"
    assert "invalid_token" in refused.headers["www-authenticate"]
    assert wire.call("GET", JOBS).status_code == 200


def test_an_operation_fails_and_leaves_its_subject_failed(wire: Wire, break_it: Break) -> None:
    break_it({"operation_fails": "no_capacity"}, call="endpoints.put")
    status = wire.settled(wire.call("PUT", ENDPOINT, json=ENDPOINT_BODY))
    assert (status["status"], status["error"]["code"]) == ("Failed", "OutOfCapacity")
    assert wire.call("GET", ENDPOINT).json()["properties"]["provisioningState"] == "Failed"


def test_the_name_of_a_deleted_endpoint_stays_taken(wire: Wire, break_it: Break) -> None:
    wire.settled(wire.call("PUT", ENDPOINT, json=ENDPOINT_BODY))
    break_it({"tombstone_seconds": 3600}, call="endpoints.delete")
    wire.settled(wire.call("DELETE", ENDPOINT))
    refused = wire.call("PUT", ENDPOINT, json=ENDPOINT_BODY)
    assert refused.status_code == 400
    assert "Endpoint name needs to be unique" in refused.json()["error"]["message"]


def test_quota_is_exhausted(wire: Wire, break_it: Break) -> None:
    break_it({"answer": "quota_exhausted"}, call="computes.put")
    assert wire.call("PUT", CLUSTER, json=CLUSTER_BODY).json()["error"]["code"] == "OutOfQuota"


def test_only_who_knows_the_instances_secret_may_break_it(wire: Wire) -> None:
    url = "https://control.azureml-local/faults"
    assert wire.call("GET", url).status_code == 401
    secret = {"authorization": f"Bearer {wire.service.identity.client_secret}"}
    bad = wire.call("PUT", url, headers=secret, json={"rules": [{}]})
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "InvalidFaultPlan")


@pytest.mark.slow
def test_connections_of_a_real_instance_break_and_heal(instance: Instance) -> None:
    environment = instance.environment
    login = f"https://login.microsoftonline.com/{environment['AZURE_TENANT_ID']}/v2.0"
    url = f"{login}/.well-known/openid-configuration"
    whole = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
    with (
        FaultClient(environment) as faults,
        httpx.Client(proxy=environment["HTTPS_PROXY"], verify=whole, trust_env=False) as client,
    ):
        when = {"call": "identity.openid_configuration"}
        try:
            faults.set({"rules": [{"when": when, "then": {"reset": "before"}}]})
            with pytest.raises(httpx.TransportError):
                client.get(url)
            faults.set({"rules": [{"when": when, "then": {"truncate_bytes": 5}}]})
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(url)
            faults.set({"rules": [{"when": when, "then": {"delay_seconds": 5}}]})
            with pytest.raises(httpx.ReadTimeout):
                client.get(url, timeout=0.05)
        finally:
            faults.clear()
        assert client.get(url).status_code == 200
        assert faults.report() == {
            "seed": 0,
            "rules": [],
            "calls": {"identity.openid_configuration": 1},
            "fired": [],
        }


@pytest.mark.slow
def test_the_command_line_sets_shows_and_clears(instance: Instance, tmp_path: Path) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "azureml_local", "faults", *words, "--state", str(instance.root)],
            capture_output=True,
            text=True,
        )

    plan = tmp_path / "plan.yaml"
    plan.write_text("rules: [{name: slow, when: {call: jobs.get}, then: {delay_seconds: 1}}]")
    try:
        assert json.loads(command("set", str(plan)).stdout)["rules"] == ["slow"]
        assert json.loads(command("show").stdout)["rules"] == ["slow"]
    finally:
        assert json.loads(command("clear").stdout)["rules"] == []
    plan.write_text("rules: [{then: {explode: true}}]")
    refused = command("set", str(plan))
    assert refused.returncode == 2
    assert "rule 1, then has no explode" in refused.stderr
    assert "Traceback" not in refused.stderr
