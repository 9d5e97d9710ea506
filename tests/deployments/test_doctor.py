"""What the doctor says where something lacks; that it finds a healthy stack healthy is in test_server.py."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chat_finetune.config.retrain import RetrainConfig
from chat_finetune.doctor import look_at_azure
from commands.doctor import run_doctor


def test_without_anything_it_says_where_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP", "AZUREML_ARM_WORKSPACE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("commands.doctor.configured_api_url", lambda: None)

    assert run_doctor(RetrainConfig()) == 1

    settings, remedy, prefect, start = capsys.readouterr().out.splitlines()
    assert settings.startswith("✗ settings: No Azure ML workspace is configured")
    assert "→ Set AZUREML_ARM_SUBSCRIPTION" in remedy
    assert prefect == "✗ prefect: no Prefect server is configured"
    assert "make server" in start


@pytest.mark.slow
@pytest.mark.usefixtures("azure")
def test_each_look_stands_for_itself(make_config: Callable[..., RetrainConfig]) -> None:
    """A model that is not there and a size that is retired: both are told, with what to do instead."""
    asked = make_config(model={"name": "no-such-model"}, endpoint={"instance_type": "Standard_NC6s_v3"})
    findings = {finding.subject: finding for finding in look_at_azure(asked)}
    assert [subject for subject, finding in findings.items() if not finding.ok] == ["registry", "quota"]
    assert "no-such-model" in findings["registry"].text

    serving = make_config(endpoint={"instance_type": "Standard_NC6s_v3"})
    quota = next(finding for finding in look_at_azure(serving) if finding.subject == "quota")
    assert "retired" in quota.text
    assert quota.remedy


@pytest.mark.slow
@pytest.mark.usefixtures("azure")
def test_what_rests_on_a_refused_credential_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, make_config: Callable[..., RetrainConfig]
) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")  # no `az` to ask
    *_, last = look_at_azure(make_config())
    assert (last.subject, last.ok) == ("credential", False)
    assert "az login" in last.remedy
