"""How the steps are combined: one file, one flow."""
