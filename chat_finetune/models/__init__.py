"""The foundation model that a run starts from, and the model that it registers."""
