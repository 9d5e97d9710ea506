"""Breaking the flow on purpose: the real flow, the real service, and one fault at a time."""
