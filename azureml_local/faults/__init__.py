"""Scripted misbehaviour: which request, which occurrence, what happens."""
