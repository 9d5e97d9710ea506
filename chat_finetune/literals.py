"""Python literals that a registry keeps in strings, read without running anything."""

import ast

# The longest such tag in azureml-assets is under 1 kB; the bound keeps the parser's work small.
MAX_LITERAL_CHARS = 20_000


def parse_literal(text: str) -> object:
    """The value that a string such as `"['a', 'b']"` spells.

    Raises:
        ValueError: it is too long, or not a literal.
    """
    if len(text) > MAX_LITERAL_CHARS:
        raise ValueError(f"it is {len(text):,} characters long, more than {MAX_LITERAL_CHARS:,}")
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"it is not a Python literal ({type(error).__name__})") from error
