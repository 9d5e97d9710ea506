"""What a workspace and a registry hold by name and version: data, code, models, components."""
