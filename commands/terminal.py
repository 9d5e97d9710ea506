"""What a model said, on a terminal that it must not be able to command."""

import re

# Everything that is not a character to be seen, but line feed and tab: a terminal obeys some of it.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text without escape sequences, control characters and reversals of the direction of writing."""
    return _CONTROLS.sub("", text)
