"""How Azure's host names lead here: a CONNECT proxy and throw-away certificates."""
