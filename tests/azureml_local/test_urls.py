"""Finding the handler of a request, and the page that says which there are."""

import re

import pytest

from azureml_local.reference import PAGE, page
from azureml_local.urls import ROUTES, Router

from .conftest import GROUP, SUBSCRIPTION, WORKSPACE, WORKSPACE_PATH, Wire


@pytest.mark.parametrize(
    "path",
    [
        WORKSPACE_PATH,
        WORKSPACE_PATH.replace("resourceGroups", "resourcegroups").replace("workspaces", "WorkSpaces"),
        f"//{WORKSPACE_PATH}",
        WORKSPACE_PATH.replace("/providers", "//providers"),
    ],
)
def test_fixed_segments_match_in_any_case_and_slashes_may_double(wire: Wire, path: str) -> None:
    workspace = wire.call("GET", f"https://management.azure.com{path}").json()
    assert workspace["name"] == WORKSPACE
    assert workspace["id"] == WORKSPACE_PATH


PROVIDER = "/providers/Microsoft.MachineLearningServices"


def test_names_keep_their_case_and_placeholders_are_names(wire: Wire) -> None:
    group = "/subscriptions/<SUBSCRIPTION_ID>/resourceGroups/My%20Group"
    workspace = wire.call("GET", f"{group}{PROVIDER}/workspaces/Mine").json()
    assert workspace["name"] == "Mine"
    assert workspace["id"].startswith("/subscriptions/<SUBSCRIPTION_ID>/resourceGroups/My Group/")


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "https://management.azure.com/subscriptions"),
        ("POST", f"https://management.azure.com{WORKSPACE_PATH}"),
        ("GET", f"https://management.azure.com{WORKSPACE_PATH}/schedules"),
        ("GET", "https://graph.microsoft.com/v1.0/me"),
    ],
)
def test_what_nobody_answers_is_501_and_names_itself(wire: Wire, method: str, url: str) -> None:
    response = wire.call(method, url)
    assert response.status_code == 501
    assert f"{method} {url}" in response.json()["error"]["message"]


def test_choices_are_given_in_lower_case() -> None:
    found = Router(ROUTES).find("management.azure.com", "GET", f"{WORKSPACE_PATH}/Models/Phi/versions")
    assert found is not None
    assert found[1] == {
        "subscription": SUBSCRIPTION,
        "group": GROUP,
        "workspace": WORKSPACE,
        "kind": "models",
        "name": "Phi",
    }


def test_every_route_says_what_it_is_for() -> None:
    assert [route.path for route in ROUTES if not route.summary.endswith((".", ")"))] == []


def test_no_route_is_hidden_by_one_before_it() -> None:
    router = Router(ROUTES)
    hidden = []
    for route in ROUTES:
        host, path = _example(route.host), _example(route.path)
        found = router.find(host, route.method, path)
        assert found is not None
        if found[0] is not route:
            hidden.append((route.method, route.path))
    assert hidden == []


def _example(template: str) -> str:
    def word(match: re.Match[str]) -> str:
        choice = match[2]
        return choice.partition("|")[0] if choice and choice != "path" else "some-" + match[1]

    return re.sub(r"{(\w+)(?::([^}]+))?}", word, template)


def test_the_page_of_operations_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python -m azureml_local.reference"


def test_every_route_is_on_the_page() -> None:
    assert page().count("\n| ") == len(ROUTES) + 6, "a line for each route, and a head for each of six hosts"
