"""Who may call: tokens as login.microsoftonline.com gives them, checked as Azure Resource Manager does."""

from azureml_local.models import State


class Identity:
    """The tenant and its one application."""

    def __init__(self, state: State) -> None:
        self._state = state

    def check(self, authorization: str) -> None:
        """Raise ServiceError 401 unless the header carries a valid bearer token of ours."""
