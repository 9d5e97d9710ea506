"""What the service refuses, in words that say what to do."""

import json
import shlex
import sys
import threading
import warnings
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr, ValidationError

from azureml_local.access import az
from chat_finetune.catalog import load_catalog
from chat_finetune.config.retrain import ComputeConfig, RetrainConfig
from chat_finetune.errors import AccessError, ConfigError, MissingError, QuotaError
from chat_finetune.models.foundation_model import AllowList, allow_list
from chat_finetune.refs import PipelineSpec
from chat_finetune.settings import for_scheduled_run, load_settings

if TYPE_CHECKING:
    from chat_finetune.platform import Platform

pytestmark = pytest.mark.slow


def test_with_a_wrong_secret_nobody_is_signed_in(azure: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from chat_finetune.platform import connect

    monkeypatch.setenv("AZURE_CLIENT_SECRET", "not-the-secret")
    with connect() as platform, pytest.raises(AccessError, match="AADSTS7000215") as raised:
        platform.computes.find("anything")
    assert "az login" in raised.value.remedy
    assert "not-the-secret" not in str(raised.value)


def test_without_any_credentials_it_says_how_to_sign_in(
    azure: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from chat_finetune.platform import connect

    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))  # no az, no pwsh, no azd
    with connect() as platform, pytest.raises(AccessError) as raised:
        platform.computes.find("anything")
    assert "az login" in raised.value.remedy


def test_an_az_login_is_used_by_hand_and_not_by_schedule(
    azure: None, azure_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from chat_finetune.platform import connect

    signed_in = {name: azure_environment[name] for name in azure_environment if name.startswith("AZURE_")}
    (program := tmp_path / "az").write_text(
        "\n".join(["#!/bin/sh", *(f"export {name}='{value}'" for name, value in signed_in.items())])
        + f'\nexec {shlex.quote(sys.executable)} -I {shlex.quote(az.__file__)} "$@"\n'
    )
    program.chmod(0o755)
    for name in signed_in:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    settings = load_settings()
    for by_hand in (settings, settings.model_copy(update={"authentication": "az_login"})):
        with connect(by_hand) as platform:
            assert platform.workspace.region
    with connect(for_scheduled_run(settings)) as platform, pytest.raises(AccessError) as raised:
        platform.sign_in()
    assert "scheduled runs do not use" in raised.value.remedy

    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    with connect(for_scheduled_run(settings)) as platform, pytest.raises(ConfigError) as refused:
        platform.sign_in()
    assert "AZURE_TOKEN_CREDENTIALS" in refused.value.message


def test_a_managed_identity_is_asked_for_by_its_client_id(
    platform: "Platform", monkeypatch: pytest.MonkeyPatch
) -> None:
    """As App Service and Container Apps offer them: an address on the machine that gives tokens."""
    from chat_finetune.platform import connect

    asked: list[str] = []

    class Identities(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            token = platform._credential.get_token("https://management.azure.com/.default")
            answer = {"access_token": token.token, "expires_on": str(token.expires_on)}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({**answer, "token_type": "Bearer", "resource": "any"}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Identities) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "any")
        chosen = {"authentication": "managed_identity", "client_id": "the-clients-id"}
        with connect(for_scheduled_run(platform.settings.model_copy(update=chosen))) as connected:
            assert connected.workspace == platform.workspace
        server.shutdown()
    assert "client_id=the-clients-id" in asked[0]


def test_a_service_principal_without_all_of_it_is_refused(platform: "Platform") -> None:
    from chat_finetune.platform import connect

    chosen = {"authentication": "service_principal", "client_id": "id", "client_secret": SecretStr("s3cret")}
    with (
        connect(platform.settings.model_copy(update=chosen)) as connected,
        pytest.raises(ConfigError, match="tenant_id is empty") as raised,
    ):
        connected.sign_in()
    assert "s3cret" not in str(raised.value)


def test_a_person_signs_in_once_for_all_steps(platform: "Platform") -> None:
    from chat_finetune.platform import connect

    by_browser = platform.settings.model_copy(update={"authentication": "browser"})
    with connect(by_browser) as first, connect(by_browser) as second:
        assert first._credential is second._credential


def test_a_model_that_the_registry_does_not_have_is_named(platform: "Platform") -> None:
    with pytest.raises(MissingError, match="no-such-model") as raised:
        platform.registry("azureml").foundation_model("no-such-model", "latest")
    assert "catalog" in raised.value.remedy


def test_system_metadata_arrives_although_the_sdk_drops_it(platform: "Platform") -> None:
    model = platform.registry("azureml").foundation_model("finch", "latest")
    assert allow_list(model, "finetune", load_catalog()) == AllowList(
        "system_metadata", ("Standard_NC48ads_A100_v4",)
    )


def test_a_registry_that_does_not_exist_is_named(platform: "Platform") -> None:
    with pytest.raises(MissingError, match="no-such-registry"):
        platform.registry("no-such-registry")


def test_a_component_says_what_it_takes(platform: "Platform") -> None:
    component = platform.registry("azureml").component("chat_completion_pipeline")
    assert component.inputs["lr_scheduler_type"]["enum"] == ["linear", "cosine"]
    assert set(component.outputs) == {"mlflow_model_folder", "pytorch_model_folder"}


def test_sizes_and_quota_are_read_in_the_spelling_that_the_sdk_has_now(platform: "Platform") -> None:
    size = next(size for size in platform.computes.vm_sizes() if size.name == "Standard_NC24ads_A100_v4")
    assert (size.gpu_count, size.vcpu_count, size.memory_gib) == (1, 24, 220)
    assert size.price_per_hour
    usage = {usage.family.lower(): usage for usage in platform.computes.usages()}[size.family.lower()]
    assert usage.limit_vcpu_count >= size.vcpu_count


def test_more_than_the_quota_is_refused_in_azures_words(platform: "Platform") -> None:
    too_many = ComputeConfig(cluster="too-big", max_node_count=50)
    with pytest.raises((QuotaError, ConfigError), match="uota"):
        platform.computes.create(too_many, tags={})
    assert platform.computes.find("too-big") is None


def test_a_cluster_is_created_with_the_declared_minimum_and_maximum(platform: "Platform") -> None:
    platform.computes.create(ComputeConfig(cluster="kept-warm", min_node_count=1, max_node_count=3), tags={})
    made = platform._workspace_client.compute.get("kept-warm")
    assert (made.min_instances, made.max_instances) == (1, 3)
    with pytest.raises(ValidationError, match="min_node_count is above"):
        ComputeConfig(min_node_count=2)


def test_an_input_that_the_component_does_not_have_is_refused(
    platform: "Platform", make_config: Callable[..., RetrainConfig], tmp_path: Path
) -> None:
    registry = platform.registry("azureml")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    spec = PipelineSpec(
        name="never-made",
        display_name="never made",
        experiment_name="tests",
        registry="azureml",
        component=registry.component("chat_completion_pipeline"),
        foundation_model_id=registry.foundation_model("parrot", "latest").id,
        cluster="gpu-cluster",
        gpu_count=1,
        node_count=1,
        train_path=str(rows),
        test_path=str(rows),
        checkpoint_folder="checkpoints",
        parameters={"learning_rate_min": 0.1},
        tags={"config_hash": "0"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ConfigError, match="learning_rate_min"):
            platform.jobs.submit(spec, registry)
    assert platform.jobs.find("never-made") is None
