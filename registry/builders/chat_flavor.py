"""Copied into the models: what mlflow.pyfunc loads in place of Azure's own `azureml.evaluate.mlflow`.

Azure's containers bring that package along; it is not published for today's libraries. This answers the same
request, `{"input_string": [message, …], "parameters": {…}}`, with `{"output": text}`. It is executed from the
model's own folder, and imports nothing of this project.
"""

from typing import Any


class ChatModel:
    """A causal language model with its tokenizer's chat template."""

    def __init__(self, folder: str) -> None:
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> dict[str, str]:
        """Answer a conversation; raises ValueError when it is none."""
        if not isinstance(data, dict) or "input_string" not in data:
            raise ValueError("input_data must have `input_string`")
        encoded = self._tokenizer.apply_chat_template(
            data["input_string"], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        options = {**(data.get("parameters") or {}), **(params or {})}
        if not options.get("do_sample"):
            options = {"max_new_tokens": options.get("max_new_tokens", 256), "do_sample": False}
        tokens = self._model.generate(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            pad_token_id=self._tokenizer.pad_token_id,
            **options,
        )
        answer = tokens[0, encoded["input_ids"].shape[1] :]
        return {"output": str(self._tokenizer.decode(answer, skip_special_tokens=True)).strip()}


def _load_pyfunc(path: str) -> ChatModel:
    """MLflow's name for what loads a model."""
    return ChatModel(path)
