"""What a sweep prints when it has ended."""

from chat_finetune.sweep.refs import Trial, TrialResult, TrialStatus
from commands.sweep import leaderboard_table


def _result(number: int, model: str = "parrot", vm_size: str = "Standard_X") -> TrialResult:
    trial = Trial(number=number, model=model, vm_size=vm_size, parameters={"trainer.lora_r": number})
    return TrialResult(trial=trial, status=TrialStatus.COMPLETED, loss=1.0 + number)


def _columns(*trials: TrialResult) -> list[str]:
    return [str(column.header) for column in leaderboard_table(trials).columns]


def test_a_model_and_a_vm_size_are_shown_where_there_are_several() -> None:
    assert _columns(_result(1), _result(2)) == ["trial", "lora_r", "status", "loss"]
    assert _columns(_result(1), _result(2, model="robin"))[:3] == ["trial", "model", "lora_r"]
    assert "vm_size" in _columns(_result(1), _result(2, vm_size="Standard_Y"))
