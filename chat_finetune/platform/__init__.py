"""Azure Machine Learning's verbs that this project needs: the only place that imports `azure`.

Every verb is short and may be repeated. A client is for one thread (azure-sdk-for-python issues 37780 and
39502): steps of a thread hand it on, nothing else does (decision 15).
"""

import logging

from chat_finetune.importing import imported_for_good

with imported_for_good():
    from chat_finetune.platform.client import Platform, connect

__all__ = ["Platform", "connect"]

# When it is imported, azure-ai-ml gives its logger a handler that writes to the caller's terminal, and
# tells of classes that may change one day. What goes wrong is raised.
_sdk_logger = logging.getLogger("azure.ai.ml")
_sdk_logger.handlers.clear()
_sdk_logger.setLevel(logging.ERROR)
