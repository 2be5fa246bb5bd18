"""Links inside a tweet: as X's API gives them (t.co, with entities) and as pages show them."""

import hashlib
import html
from collections.abc import Iterator

import tweet_text


def pieces(text: str) -> Iterator[tuple[str, str | None]]:
    """Cut a text into plain parts (text, None) and links (text, where it goes)."""
    done = 0
    for found in tweet_text.URL.finditer(text):
        start, end = found.span("url")
        if not found["protocol"] and found["before"] in ("-", "_", ".", "/"):
            continue
        if start > done:
            yield text[done:start], None
        yield text[start:end], text[start:end] if found["protocol"] else f"http://{text[start:end]}"
        done = end
    if done < len(text):
        yield text[done:], None


def shortened(text: str, tweet_id: int) -> tuple[str, list[dict[str, object]]]:
    """The text as the API returns it (& < > escaped, links as t.co), and the entities that say what was there."""
    result = ""
    urls: list[dict[str, object]] = []
    for part, target in pieces(text):
        if target is None:
            result += html.escape(part, quote=False)
            continue
        code = hashlib.sha256(f"{tweet_id} {len(urls)}".encode()).hexdigest()[:10]
        short = f"https://t.co/{code}"
        shown = part.partition("://")[2] or part
        urls.append({
            "start": len(result), "end": len(result) + len(short), "url": short,
            "expanded_url": target, "display_url": shown if len(shown) <= 26 else f"{shown[:26]}…",
        })  # fmt: skip
        result += short
    return result, urls
