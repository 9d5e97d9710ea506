"""The forms of Prefect's UI in a real browser: a block is created there, and a run's fields are chosen."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from chat_finetune.catalog import load_catalog
from chat_finetune.config.retrain import RetrainConfig
from commands.server import prefect_server, use_api
from tests import prefect_ui

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.support.ui import Select

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server's UI; the server is the one that is configured."""
    with prefect_server(tmp_path_factory.mktemp("server")) as server:
        server.wait_until_ready()
        with use_api(server.api_url):
            yield server.ui_url


def test_a_block_that_the_form_created_holds_what_was_typed(browser: "Chrome", ui: str) -> None:
    from blocks.azureml_workspace import AzureMLWorkspace, read_settings

    AzureMLWorkspace.register_type_and_schema()
    browser.get(f"{ui}/blocks/catalog/azureml-workspace/create")
    typed = {
        "Block Name": "typed",
        "Subscription Id": "a-subscription",
        "Resource Group": "a-group",
        "Workspace Name": "a-workspace",
        "Tenant Id (Optional)": "a-tenant",
        "Client Id (Optional)": "a-client",
        "Client Secret (Optional)": "a-secret",
    }
    for label, text in typed.items():
        prefect_ui.fill(browser, label, text)
    choose(browser, "Authentication (Optional)", "service_principal")
    prefect_ui.click(browser, "Create")
    prefect_ui.find(browser, "//*[normalize-space()='Paste this snippet into your flows to use this block.']")

    settings = read_settings("typed")
    assert settings.authentication == "service_principal"
    assert (settings.workspace_name, settings.tenant_id) == ("a-workspace", "a-tenant")
    assert settings.client_secret.get_secret_value() == "a-secret"


def test_a_size_is_chosen_from_the_catalog_and_any_other_model_is_typed(browser: "Chrome", ui: str) -> None:
    deployment = deploy({"endpoint": {"instance_type": "Standard_New_v9"}})
    browser.get(f"{ui}/deployments/deployment/{deployment}/run")
    offered = [option.text for option in drop_down(browser, "Vm Size (Optional)").options]
    assert offered == load_catalog().training_sizes
    choose(browser, "Vm Size (Optional)", "Standard_NC48ads_A100_v4")
    model = "(//label[normalize-space()='Name (Optional)'])[1]/../.."
    prefect_ui.find(browser, f"{model}//button[normalize-space()='Any other']").click()
    prefect_ui.find(browser, f"{model}//textarea")
    prefect_ui.fill(browser, "Name (Optional)", "microsoft/Phi-3-mini-4k-instruct")
    prefect_ui.fill(browser, "Block (Optional)", "typed")
    prefect_ui.click(browser, "Submit")
    prefect_ui.click(browser, "View run")

    config = created_run(deployment)
    assert config.compute.vm_size == "Standard_NC48ads_A100_v4"
    assert config.model.name == "microsoft/Phi-3-mini-4k-instruct"
    assert config.workspace.block == "typed"
    assert config.endpoint.instance_type == "Standard_New_v9", "not in the catalog, and not touched"


def deploy(config: dict[str, Any]) -> UUID:
    """Retrain with that config, as `prefect deploy` deploys it."""
    from prefect import get_client
    from prefect.utilities.callables import parameter_schema

    from flows.retrain import retrain

    with get_client(sync_client=True) as client:
        return client.create_deployment(
            client.create_flow_from_name("retrain"),
            "form",
            entrypoint="flows.retrain.retrain",
            parameters={"config": config},
            parameter_openapi_schema=parameter_schema(retrain).model_dump(exclude_unset=True),
            enforce_parameter_schema=True,
        )


def created_run(deployment: UUID) -> RetrainConfig:
    from prefect import get_client
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    ours = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(deployment_filter=ours)
    return RetrainConfig.model_validate(run.parameters["config"])


def choose(browser: "Chrome", label: str, option: str) -> None:
    """Choose from the drop-down of the first field with this label."""
    drop_down(browser, label).select_by_visible_text(option)


def drop_down(browser: "Chrome", label: str) -> "Select":
    from selenium.webdriver.support.ui import Select

    labelled = f"//label[normalize-space()='{label}']"
    prefect_ui.find(browser, labelled)
    return Select(browser.find_element("xpath", f"({labelled})[1]/following::select[1]"))
