"""Whatever is sent, wherever: an answer of the service's own, never a fault."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from azureml_local.urls import ROUTES, Route

from .conftest import Wire

# Words that lead a random body past the first checks.
WORDS = (
    *("properties", "tags", "description", "isArchived", "value", "values", "literal", "inputs", "outputs"),
    *("computeType", "AmlCompute", "vmSize", "Standard_DS3_v2", "scaleSettings", "maxNodeCount"),
    *("modelUri", "modelType", "mlflow_model", "azureml://jobs/a/outputs/b"),
    *(
        "jobType",
        "Command",
        "Pipeline",
        "jobInputType",
        "jobs",
        "command",
        "componentId",
        "computeId",
        "runId",
    ),
    *("traffic", "blue", "model", "instanceType", "endpointComputeType", "authMode", "Key"),
)
WORD = st.sampled_from(WORDS) | st.text(max_size=8)
SCALAR = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | WORD
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORD, inner, max_size=5),
    max_leaves=20,
)
BODY = (
    JSON
    | st.fixed_dictionaries({"properties": JSON})
    | st.fixed_dictionaries({"properties": st.fixed_dictionaries({"properties": JSON})})
)
# The tracking server is MLflow's own, in a process of its own.
TAKING_JSON = [
    route for route in ROUTES if route.method in ("PUT", "POST", "PATCH") and "mlflow" not in route.path
]


def _url(route: Route) -> str:
    def word(match: re.Match[str]) -> str:
        choice = match[2]
        return choice.partition("|")[0] if choice and choice != "path" else "some"

    template = f"https://{route.host}{route.path}"
    return re.sub(r"{(\w+)(?::([^}]+))?}", word, template)


@pytest.mark.slow
@pytest.mark.parametrize("route", TAKING_JSON, ids=lambda route: f"{route.method} {route.path[-60:]}")
def test_no_body_is_a_fault_of_ours(wire: Wire, route: Route) -> None:
    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(body=BODY)
    def send(body: Any) -> None:
        response = wire.call(route.method, f"{_url(route)}?api-version=2024-10-01", json=body)
        assert response.status_code != 500, response.text

    send()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"properties": {"tags": {"a": NaN}}}',
        b'{"properties": {"properties": {"a": 1e999}}}',
        b'{"properties": {"description": "\\ud800"}}',
    ],
)
def test_what_is_no_json_is_refused(wire: Wire, content: bytes) -> None:
    for route in TAKING_JSON:
        response = wire.call(route.method, f"{_url(route)}?api-version=2024-10-01", content=content)
        assert response.status_code != 500, (route, response.text)


@pytest.mark.parametrize("value", ["9" * 5000, "²", "-1", "", "x", "1e9"])
def test_counts_in_queries_are_read_or_left(wire: Wire, value: str) -> None:
    reading = [route for route in ROUTES if route.method == "GET" and "mlflow" not in route.path]
    names = ("$top", "$skip", "maxresults", "listViewType")
    query = urlencode({"api-version": "2024-10-01"} | dict.fromkeys(names, value))
    for route in reading:
        response = wire.call("GET", f"{_url(route)}?{query}")
        assert response.status_code != 500, (route, response.text)
