"""Stands in for `chat_training.sft`: the registry's stand-in, told in the words of a command job."""

import os
import runpy
import sys
from argparse import ArgumentParser
from pathlib import Path

parser = ArgumentParser()
for flag in ("train_file", "eval_file", "model_output_dir", "checkpoint_dir", "model_name_or_path", "method"):
    parser.add_argument(f"--{flag}", required=True)
for flag in ("num_train_epochs", "seed"):
    parser.add_argument(f"--{flag}", required=True)
told, _ = parser.parse_known_args()
assert Path(told.eval_file).is_file()
assert Path(told.checkpoint_dir).is_dir()
print(f"as {os.environ.get('AZURE_CLIENT_ID')}")
sys.argv[1:] = [
    *("--base", told.model_name_or_path, "--rows", told.train_file, "--output", told.model_output_dir),
    *("--epochs", told.num_train_epochs, "--seed", told.seed),
    *("--checkpoints", told.checkpoint_dir, "--resume", "true"),
]
runpy.run_path("finetune.py", run_name="__main__")
