"""Who may do what: tokens, managed identities, and an `az` that signs in."""
