"""The machines: may they tune and serve this model, and the cluster that trains."""
