"""The matrix: the real flow on the real service, with one thing broken in each run."""
