"""Who draws is not waited for."""

import subprocess
import sys


def test_what_draws_is_imported_once_somebody_waits_and_not_before() -> None:
    code = (
        "import sys, threading; from chat_finetune.report import pictures; "
        "assert 'matplotlib' not in sys.modules; pictures.get_ready(); "
        "[thread.join() for thread in threading.enumerate() if thread.name == 'import-matplotlib']; "
        "print('matplotlib.figure' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "True"
