"""The length of a tweet: worked examples, X's own counter in Python as the judge, and texts made to be slow."""

import importlib
import sys
from importlib.resources import files
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.x_counts import CASES
from tweet_text import LIMIT, problem, weight


def load_judge() -> Any:
    """twitter-text-parser, which wants one function of pkg_resources, a module that new Pythons no longer bring."""
    stand_in = ModuleType("pkg_resources")
    stand_in.__dict__["resource_string"] = lambda _, name: (files("twitter_text") / "regexp" / name).read_bytes()
    before = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stand_in
    try:
        return importlib.import_module("twitter_text")
    finally:
        del sys.modules["pkg_resources"]
        if before is not None:
            sys.modules["pkg_resources"] = before


judge = load_judge()
EMOJI = sorted(importlib.import_module("twitter_text.regexp.emoji").emoji_dict)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("This is a test.", 15),
        ("a\r\nb\rc\n", 6),
        ("A\u0301B", 2),
        ("한국어", 6),
        ("\U00010000\U0010ffff", 4),
        ("\u201cquoted\u201d \u2013 \u2018text\u2019\u2026", 19),
        ("\u200b\u200d\u2010\u201f\u2032", 5),
        ("\u2031", 2),
        ("http://test.com", 23),
        ("test.com", 23),
        ("see https://example.com/a/very/long/path/indeed?with=query&and=more#too now", 31),
        ("Test https://test.com test https://test.com test.com test", 86),
        ("end.Next sentence", 30 - 7 + 9),
        ("e.g. this, i.e. that", 20),
        ("@example.com #example.com $example.com", 38),
        ("me@example.com", 14),
        ("日本example.com日本", 31),
        ("http://☃.net/", 23),
        ("ftp://example.invalid", 21),
        ("https://t.co/abc/def", 27),
        ("☺", 2),
        ("☺\ufe0f", 2),
        ("1\ufe0f\u20e3", 2),
        ("👨\u200d👩\u200d👧\u200d👦", 2),
        ("🙋🏽👨\u200d🎤", 4),
        ("🇩🇪", 2),
        ("\u00a9\u00ae", 2),
        ("🐦\u200d🔥", 2),
    ],
)
def test_weight_of_a_text(text: str, expected: int) -> None:
    """Each rule of X's counting, by an example small enough to check by hand."""
    assert weight(text) == expected


@pytest.mark.parametrize(("text", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_x_s_own_cases(text: str, expected: int) -> None:
    """What X publishes for everybody who counts."""
    assert weight(text) == expected


def judged(text: str) -> int:
    """The judge's count, with its one slip mended: X's own library counts a bare © or ® as 1."""
    bare = sum(text.count(sign) - text.count(sign + "\ufe0f") for sign in "©®")
    return int(judge.parse_tweet(text).weightedLength) - bare


@pytest.mark.parametrize("text", ["".join(EMOJI[start : start + 40]) for start in range(0, len(EMOJI), 40)])
def test_every_emoji_weighs_two(text: str) -> None:
    """All emoji that twitter-text knows weigh what it says, side by side."""
    assert weight(text) == judged(text)


host = st.sampled_from(
    [
        "example.com",
        "t.co",
        "a.b.co.uk",
        "bücher.de",
        "日本.jp",
        "foo_bar.com",
        "a.みんな",
        "x.nosuch",
        "1.2.3.4",
        "-a.com",
    ]
)
path = st.sampled_from(
    ["", "/", "/a/b?c=d", "/(x)", "/wiki/A_(b_(c))!", "?q=1", ":80/x", "/@me/", "/ü…", "/a.", "//", "/x)"]
)
link = st.builds("{}{}{}".format, st.sampled_from(["", "http://", "https://", "HTTPS://"]), host, path)
awkward = st.text(alphabet="aZ9.-_/:@#$()?=&~ \n\t,\"'日ü\u200e", max_size=12)
chunk = st.one_of(link, st.sampled_from(EMOJI), awkward, st.text(st.characters(max_codepoint=0x10FF), max_size=8))


@settings(max_examples=300, deadline=None)
@given(st.lists(chunk, max_size=5), st.sampled_from(["", " ", "\n", "日"]))
@example(["https://t.co/" + "a" * 41], "")
@example(["a_日b.com"], "")
@example(["@日本bar.com/x"], "")
def test_the_judge_agrees(chunks: list[str], between: str) -> None:
    """Texts put together from links, emoji and the characters between them weigh what X's own counter says."""
    text = between.join(chunks)
    assert weight(text) == judged(text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit", [".", "a.", "www.", "com.", "日.", "a-", "a.co/(", "x.co/!", "http://", "🐦\u200d", "-" * 62 + "a."]
)
def test_no_text_is_slow(unit: str) -> None:
    """Texts made to be slow take time by their length, not its square: half a second here, against minutes."""
    assert weight((unit * 50_000)[:50_000]) > LIMIT


def test_the_limit_itself() -> None:
    """280 fit, 281 do not, and the sentence says how many to cut."""
    assert problem("x" * LIMIT) is None
    assert problem("x" * (LIMIT + 1)) == (
        "too_long",
        "This is 281 characters as X counts them, 280 are allowed: cut 1.",
    )


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000"])
def test_an_empty_text_is_refused(text: str) -> None:
    """Nothing, or only white space, is no tweet."""
    found = problem(text)
    assert found is not None
    assert found[0] == "empty"


@pytest.mark.parametrize("number", [0, 0xFFFE, 0xFEFF, 0xFFFF, 0xD800, 0xDFFF])
def test_characters_that_x_refuses_are_named(number: int) -> None:
    """A character X does not take is refused here, by its number."""
    found = problem(f"a{chr(number)}b")
    assert found is not None
    assert found[0] == "bad_characters"
    assert f"U+{number:04X}" in found[1]


def test_a_text_beyond_all_measure_is_refused_unread() -> None:
    """A megabyte is too long without being counted."""
    found = problem("a." * 500_000)
    assert found is not None
    assert found[0] == "too_long"
