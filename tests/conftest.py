"""What holds for every test: nobody is told that it ran."""

import os

# Prefect, MLflow and the Hugging Face libraries all honour it; processes that tests start inherit it.
os.environ["DO_NOT_TRACK"] = "1"
