"""Online endpoints and their deployments: processes that answer with a model."""
