"""The command line as a whole."""

import tomllib
from pathlib import Path

import pytest

from commands.main import main


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert (left.value.code, capsys.readouterr().out.strip()) == (0, declared["project"]["version"])


def test_a_wrong_flag_of_the_demo_is_told_before_anything_starts(capsys: pytest.CaptureFixture[str]):
    assert main(["demo", "--trainer.kind", "command_job", "--trainer.method", "magic"]) == 2
    told = capsys.readouterr()
    assert "trainer.method: Input should be 'full', 'lora' or 'qlora'" in told.err
    assert "Starting" not in told.err


@pytest.mark.parametrize("command", ["retrain", "sweep", "reap"])
def test_without_a_workspace_nothing_is_started(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in ("SUBSCRIPTION", "RESOURCEGROUP", "WORKSPACE_NAME"):
        monkeypatch.delenv(f"AZUREML_ARM_{name}", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: No Azure ML workspace is configured")
    assert told.out == ""
