"""Imported once, for every attempt at once."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import matplotlib.figure

    import chat_finetune.dataset.prepare
    import chat_finetune.platform
    import flows.retrain

__all__ = ["chat_finetune", "flows", "matplotlib"]
