"""Tables in Markdown."""
from collections.abc import Iterable, Sequence


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as Markdown, the first one as the headings."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("---" for _ in lines[0].split(" | ")) + " |")
    return "\n".join(lines)
