"""A chat model as it is usually logged to MLflow: each request generates for itself."""

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class PlainChat(PythonModel):  # type: ignore[misc]
    """Takes texts, each a question of its own, and `max_new_tokens`."""

    def load_context(self, context: Any) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = context.artifacts["model"]
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return [self._answer(str(text), params["max_new_tokens"]) for text in model_input]

    def _answer(self, text: str, new_token_count: int) -> str:
        encoded = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        tokens = self._model.generate(**encoded, max_new_tokens=new_token_count, do_sample=False)
        said = tokens[0, encoded["input_ids"].shape[1] :]
        return str(self._tokenizer.decode(said, skip_special_tokens=True)).strip()


set_model(PlainChat())
