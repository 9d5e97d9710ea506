import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # both libraries warn of their own code while they are imported
    import azure.ai.ml  # noqa: F401
    import mlflow.pyfunc  # noqa: F401
