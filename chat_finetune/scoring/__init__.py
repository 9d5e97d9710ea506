"""Talking to a deployed chat model: how it is asked, and how its answer is read."""
