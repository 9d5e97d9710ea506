"""Which rows are unusable, and why. A row is charged with the first check that it fails.

Measured chunk by chunk, judged in memory: of each row only the few numbers that the verdict needs are held,
about 100 bytes, however long its conversation is.
"""

import polars as pl

from chat_finetune.dataset.report import RowProblem
from chat_finetune.dataset.rows import NO_MESSAGES

# A conversation's roles as letters, and the two orders that are fine. ultrachat_200k's generation splits
# may stop before the answer that is to be generated.
LETTERS = {"system": "s", "user": "u", "assistant": "a"}
TRAINING_ROLES = r"^s?(ua)+$"
GENERATION_ROLES = r"^s?u(au)*a?$"


def measure(rows: pl.DataFrame) -> pl.DataFrame:
    """What the verdict needs of every row.

    `conversation` and `opening` are 64-bit hashes of all messages and of the first user message; among a
    million rows the odds that any two of them collide are below 1 in 10 million.
    """
    role = pl.element().struct.field("role")
    content = pl.element().struct.field("content")
    messages = pl.col("messages").list
    letters = role.replace_strict(LETTERS, default="?", return_dtype=pl.String)
    # Polars copies a nested value to hash it whole: each text is hashed where it lies, then the hashes.
    message = pl.struct(content.hash(), role.hash()).hash()
    # Told by the first bytes that polars keeps beside each text; the others have to be searched.
    begins_visibly = (content >= "!") & (content <= "~")
    return rows.select(
        "row",
        "reason",
        "detail",
        roles=messages.eval(letters).list.join(""),
        stranger=messages.eval(role.filter(~role.is_in(list(LETTERS)))).list.first(),
        incomplete=messages.eval(role.is_null() | content.is_null()).list.any(),
        blank=~messages.eval(content.filter(~begins_visibly).str.contains(r"\S")).list.all(),
        chars=messages.eval(content.str.len_chars()).list.sum(),
        conversation=messages.eval(message).hash(),
        opening=messages.eval(content.filter(role == "user")).list.first().str.strip_chars().hash(),
    )


def judge(split: str, measured: pl.DataFrame, max_chars: int) -> pl.DataFrame:
    """Fills `reason` and `detail` of the rows that fail by themselves, or repeat an earlier row."""
    trains = split.endswith("_sft")
    order = TRAINING_ROLES if trains else GENERATION_ROLES
    expected = "user and assistant must alternate" + (", ending with the assistant" if trains else "")
    roles = pl.col("roles")
    spelled = roles.str.head(12).str.replace_many({v: f"{k} " for k, v in LETTERS.items()})
    checks = {
        NO_MESSAGES: (
            roles.is_null() | pl.col("incomplete"),
            pl.lit("a message lacks its role or its content"),
        ),
        "no messages": (roles == "", pl.lit("the list is empty")),
        "empty message": (pl.col("blank"), pl.lit("a message has no text")),
        "unknown role": (
            pl.col("stranger").is_not_null(),
            pl.format("'{}'", pl.col("stranger").str.head(40)),
        ),
        "wrong role order": (
            ~roles.str.contains(order),
            pl.format("{}; {}", spelled.str.strip_chars(), pl.lit(expected)),
        ),
        "too long": (
            pl.col("chars") > max_chars,
            pl.format("{} characters, the limit is {}", "chars", pl.lit(max_chars)),
        ),
    }
    judged = _charge(measured, checks)
    sound = judged.filter(pl.col("reason").is_null())
    first = sound.group_by("conversation").agg(first=pl.col("row").min())
    repeats = judged.join(first, on="conversation", how="left", maintain_order="left")
    repeated = {
        "duplicate": (pl.col("row") > pl.col("first"), pl.format("same conversation as row {}", "first"))
    }
    return _charge(repeats, repeated).drop("first")


def charge_leaks(train: pl.DataFrame, test: pl.DataFrame, test_split: str) -> pl.DataFrame:
    """Charges the training rows whose conversation or opening prompt a sound test row has, too."""
    sound = test.filter(pl.col("reason").is_null())
    for key, what in (("conversation", "conversation"), ("opening", "prompt")):
        seen = sound.group_by(key).agg(seen=pl.col("row").min())
        found = train.join(seen, on=key, how="left", maintain_order="left")
        where = pl.format(f"same {what} as {test_split} row {{}}", "seen")
        train = _charge(found, {"leak": (pl.col("seen").is_not_null(), where)}).drop("seen")
    return train


def problems_of(split: str, judged: pl.DataFrame, limit: int) -> tuple[RowProblem, ...]:
    flawed = judged.filter(pl.col("reason").is_not_null()).sort("row").head(limit)
    return tuple(RowProblem(split, *row) for row in flawed.select("row", "reason", "detail").iter_rows())


def count_by_reason(judged: pl.DataFrame) -> dict[str, int]:
    counts = judged.filter(pl.col("reason").is_not_null()).group_by("reason").len().sort("len", "reason")
    return dict(counts.reverse().iter_rows())


def _charge(frame: pl.DataFrame, checks: dict[str, tuple[pl.Expr, pl.Expr]]) -> pl.DataFrame:
    """Gives rows without a reason the first that applies; a condition that is null does not apply."""
    reasons = [pl.when(condition).then(pl.lit(reason)) for reason, (condition, _) in checks.items()]
    details = [pl.when(pl.col("reason") == reason).then(detail) for reason, (_, detail) in checks.items()]
    charged = frame.with_columns(reason=pl.coalesce("reason", *reasons))
    return charged.with_columns(detail=pl.coalesce("detail", *details))
