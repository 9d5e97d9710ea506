"""`python -m commands` is `chat-finetune`."""

import sys

from commands.main import main

sys.exit(main())
