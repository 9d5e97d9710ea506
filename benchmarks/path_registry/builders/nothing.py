"""A rehearsal's model is named, and never used."""

raise SystemExit("a rehearsal has no model")
