"""What the SDK hands out, as the service sent it."""

from enum import Enum


def plain(value: object) -> str:
    """The text of a value that the SDK gives as an enum here and as a string there."""
    return str(value.value if isinstance(value, Enum) else value)
