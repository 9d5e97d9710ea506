"""Jobs: what is submitted, once, and waited for until it has ended."""
