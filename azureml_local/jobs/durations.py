"""Durations as Azure's REST interface writes them."""

import re

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def iso_seconds(duration: str | None, default_seconds: float) -> float:
    """Seconds of an ISO 8601 duration such as ``PT120S`` or ``P1DT2H``; the default when there is none."""
    match = _DURATION.fullmatch(duration or "")
    if match is None or not any(match.groups()):
        return default_seconds
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
