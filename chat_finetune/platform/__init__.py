"""Azure Machine Learning's verbs that this project needs: the only place that imports `azure`.

Every verb is short and may be repeated. Clients are made per call of `connect`, one a thread
(azure-sdk-for-python issues 37780 and 39502), and never passed between tasks.
"""

from chat_finetune.platform.client import Platform, connect

__all__ = ["Platform", "connect"]
