"""The page of operations, from the table of routes: ``python -m azureml_local.reference`` writes it."""

import re
from pathlib import Path

from azureml_local.urls import API, ARM, BLOB, CONTROL, INFERENCE, LOGIN, ROUTES, Route

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "azureml-local-operations.md"
_TITLES = {
    ARM: "Azure Resource Manager",
    API: "Azure Machine Learning's data plane and registries",
    INFERENCE: "Online endpoints",
    BLOB: "Blob storage",
    LOGIN: "Sign-in",
    CONTROL: "This service itself",
}
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices"
_HEAD = """\
# Operations of azureml_local

Generated from the table of routes (`azureml_local/urls.py`) by `python -m azureml_local.reference`.

An operation that is not listed does not exist: it answers 501, code `NotImplemented`, and names itself. Among
what Azure Machine Learning has and this service has not: batch and serverless endpoints, schedules, compute
instances, attached computes, AutoML, sweep and Spark jobs, feature stores, file-share and Data Lake
datastores, creating or changing workspaces and registries. Any api-version is accepted; the shapes are those
of the versions that azure-ai-ml 1.35, azure-mgmt-machinelearningservices 1.0 and azure-mgmt-authorization 4.0
send. `…` stands for `{group}`.
"""


def page() -> str:
    """The page as Markdown."""
    head = _HEAD.format(group=_GROUP)
    return "\n".join([head, *(_section(host, title) for host, title in _TITLES.items())])


def _section(host: str, title: str) -> str:
    rows = [_row(route) for route in ROUTES if route.host == host]
    table = ["| method | path | what it does |", "|---|---|---|", *rows]
    return "\n".join([f"## {title}", "", f"Host `{host}`.", "", *table, ""])


def _row(route: Route) -> str:
    path = re.sub(r"{(\w+):path}", r"{\1…}", route.path.replace(_GROUP, "…"))
    path = re.sub(r"{(\w+):([^}]+)}", lambda match: "{" + match[2].replace("|", ", ") + "}", path)
    return f"| {route.method} | `{path}` | {route.summary} |"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), "utf-8")
