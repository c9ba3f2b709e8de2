"""Text that came from a file, made fit for a message: names may be megabytes long, or hold what a terminal obeys."""
import unicodedata


def shortened(text: str, limit: int = 60) -> str:
    """The text in at most `limit` bytes of UTF-8, with "..." in place of the rest, and "?" for each control character.
    core/base/short_text.h does the same in C++."""
    shown = "".join("?" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text[: limit + 1])
    if len(shown.encode()) <= limit:
        return shown
    return shown.encode()[: limit - 3].decode(errors="ignore") + "..."


def quoted(text: str) -> str:
    """The shortened text in single quotes."""
    return f"'{shortened(text)}'"
