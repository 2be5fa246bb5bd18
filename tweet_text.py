"""How long X thinks a text is, in time linear in its length. Knows nothing of tweets, the database or HTTP.

The rules are those of twitter-text, configuration 3: most letters of European scripts weigh 1, everything else 2,
a link 23 whatever its length, an emoji 2 however many code points it takes. Where we differ we over-count, so a text
is at worst refused here before X sees it: a host of more than ten names, or a name of more than 63 letters, is no link.
The exception: emoji younger than twitter-text weigh 2, as X's documentation says; twitter-text counts their parts.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

LIMIT = 280
LINK = 23
LONGEST_LINK = 4096
LONGEST_TEXT = 10_000  # code points; a text of twelve links of this sort is no tweet, and NFC is not linear

LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))  # code points that weigh 1; all others weigh 2
INVALID = re.compile("[\0\ufffe\ufeff\uffff\ud800-\udfff]")

# The character classes of twitter-text's link pattern.
LATIN = (
    r"\xc0-\xd6\xd8-\xf6\xf8-\xff\u0100-\u024f\u0253\u0254\u0256\u0257\u0259\u025b\u0263\u0268\u026f\u0272\u0289\u028b"
    r"\u02bb\u0300-\u036f\u1e00-\u1eff"
)
DIRECTION = r"\u202a-\u202e\u061c\u200e\u200f\u2066-\u2069"
SPACES = r"\t-\r \x85\xa0\u1680\u180e\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_IN_NAME = r"!'#%&()*+,\\./:;<=>?@\[\]^{|}~$" + SPACES + r"\ufffe\ufeff\uffff" + DIRECTION
IN_PATH = r"a-z\u0400-\u04ff0-9!*';:=+,.$/%#\[\]\-\u2013_~@|&" + LATIN
ENDS_PATH = r"+\-a-z\u0400-\u04ff0-9=_#/" + LATIN
QUERY = r"\?[a-z0-9!?*'@();:&=+$/%#\[\]\-_.,~|]*[a-z0-9\-_&=#/]"

NAMES = sorted(Path(__file__).with_name("tlds.txt").read_text("utf-8").partition("\n")[2].split(), reverse=True)
_by_letter = "|".join(
    f"{letter}(?:{'|'.join(name[1:] for name in names)})" for letter, names in groupby(NAMES, itemgetter(0))
)
TOP = rf"(?:(?:{_by_letter})(?=[^0-9a-z@+-]|$)|xn--[\-0-9a-z]+)"
# Bounded, here and in URL: else ten thousand dots take minutes.
SUBDOMAIN = rf"(?:(?![_-])[^{NOT_IN_NAME}]{{1,63}}+(?<![_-])\.)"
DOMAIN = rf"(?:(?!-)[^{NOT_IN_NAME}_]{{1,63}}+(?<!-)\.)"
PARENS = rf"\((?:[{IN_PATH}]++\)|[{IN_PATH}]*+\([{IN_PATH}]++\)[{IN_PATH}]*+\))"
PATH = rf"/(?:[{IN_PATH}]*(?:{PARENS}[{IN_PATH}]*)*(?:[{ENDS_PATH}]|{PARENS}))?"
URL = re.compile(
    rf"(?P<before>[^a-z0-9@\uff20$#\uff03\ufffe\ufeff\uffff]|^)"
    rf"(?P<url>(?P<protocol>https?://)?(?P<host>{SUBDOMAIN}{{0,8}}{DOMAIN}{TOP})(?::[0-9]+)?(?P<path>{PATH})?(?:{QUERY})?)",
    re.IGNORECASE,
)
ASCII_HOST = re.compile(rf"(?:[\-a-z0-9{LATIN}]+\.)+{TOP}", re.IGNORECASE)
SHORTENED = re.compile(rf"https?://t\.co/([a-z0-9]+)(?:{QUERY})?", re.IGNORECASE)

_PICTURE = (
    r"[\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    r"\U0001f000-\U0001f1e5\U0001f200-\U0001faff]"
)
_DRESSED = _PICTURE + r"(?:\ufe0f\u20e3?|[\U0001f3fb-\U0001f3ff])?"  # with the sign "as a picture", or a skin tone
EMOJI = re.compile(
    rf"\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f|{_DRESSED}(?:\u200d{_DRESSED}){{0,3}}"
    r"|[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3|[\xa9\xae]\ufe0f"
)


def problem(text: str) -> tuple[str, str] | None:
    """Say why X would refuse this text, as (code, sentence), or None when it is fine."""
    if not text.strip():
        return "empty", "There is nothing to tweet yet: write something first."
    if found := INVALID.search(text):
        return "bad_characters", f"X does not take the character U+{ord(found[0]):04X}: remove it and try again."
    count = len(text) if len(text) > LONGEST_TEXT else weight(text)
    if count > LIMIT:
        return "too_long", f"This is {count} characters as X counts them, {LIMIT} are allowed: cut {count - LIMIT}."
    return None


def weight(text: str) -> int:
    """Return X's weighted length of a text; at most LIMIT of it fit in a tweet."""
    text = re.sub(r"\r\n?", "\n", unicodedata.normalize("NFC", text))
    total, done = 0, 0
    for start, end in _links(text):
        total += _plain(text[done:start]) + LINK
        done = end
    return total + _plain(text[done:])


def _plain(text: str) -> int:
    """Weigh a text that has no links."""
    rest, emoji = EMOJI.subn("", text)
    return 2 * emoji + sum(1 if any(low <= ord(char) <= high for low, high in LIGHT) else 2 for char in rest)


def _links(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each piece of a text that X makes a link."""
    for found in URL.finditer(text):
        if len(found["url"]) > LONGEST_LINK or not _is_host(found["host"]):
            continue
        if found["protocol"]:
            yield from _full_link(found)
        elif found["before"] not in ("-", "_", ".", "/"):
            yield from _bare_links(found)


def _full_link(found: re.Match[str]) -> Iterator[tuple[int, int]]:
    """A link with a protocol is taken whole, but X's own t.co links end after their code."""
    short = SHORTENED.match(found["url"])
    if short is None:
        yield found.span("url")
    elif len(short[1]) <= 40:
        yield found.start("url"), found.start("url") + short.end()


def _bare_links(found: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Without a protocol only the Latin parts of a host are links; the path belongs to the last of them."""
    first = found.start("host")
    spans = [(first + host.start(), first + host.end()) for host in ASCII_HOST.finditer(found["host"])]
    if spans and found["path"]:
        spans[-1] = (spans[-1][0], found.end("url"))
    yield from spans


def _is_host(host: str) -> bool:
    """Tell whether a host could be looked up at all."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
