"""How long X says texts are: the weighted-length cases of twitter-text's conformance/validate.yml, with emoji counted.

Copyright 2018 Twitter, Inc. and other contributors, licensed under the Apache License, Version 2.0. Changed: its
sections WeightedTweetsWithDiscountedEmojiCounterTest and UnicodeDirectionalMarkerCounterTest as a table of
description, text and weightedLength, with what is repeated written as a product.
"""

CHUNK = "xxxxxxxxxx-"
HOST = "https://" + "somesuperlongurl" * 249 + ".com/foo "
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
POEM = (
    "故人西辞黄鹤楼，烟花三月下扬州。孤帆远影碧空尽，唯见长江天际流。朱雀桥边野草花，乌衣巷口夕阳斜。旧时王谢堂前燕，"  # noqa: RUF001 - theirs
    "飞入寻常百姓家。朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。泪湿罗巾梦不成，夜深前殿按歌声。"  # noqa: RUF001 - theirs
    "红颜未老恩先断，斜倚薰笼坐到明。独在异乡为异客，每逢佳节倍思亲。遥知兄弟登高处，遍插茱萸少一人。"  # noqa: RUF001 - theirs
)
KANA = "あいうえおかきくけこ"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
SPACES = "".join(map(chr, range(0x2000, 0x200C)))
MARKS = " ".join(map(chr, (*range(0x2010, 0x2020), *range(0x2032, 0x2038)))).replace("\u2017", " \u2017")

CASES = [
    ("Regular Tweet with url", "Hi http://test.co", 26),
    ("Just url", "http://test.co", 23),
    ("Long tweet, overflow at char index 280", "285 chars-" + CHUNK * 25, 285),
    (
        "Long tweet with url in the middle, overflow at char index 284",
        "285 chars- http://www.twitter.com/jack " + CHUNK * 24,
        299,
    ),
    ("Long tweet with url at the end, overflow at char index 265", CHUNK * 24 + " http://www.twitter.com/jack ", 289),
    ("10 url string, no overflow", "https://www.twitter.com/aloha " * 10, 240),
    ("160 CJK char, overflow at char index 140", POEM, 320),
    ("160 emoji char, overflow at char index 140", "\U0001f637" * 160, 320),
    ("3 latin char + 160 CJK char, overflow at char index 141", "the" + POEM, 323),
    (
        "282 chars with a normalized character within valid range but outside 280",
        "282 chars-" + CHUNK * 24 + "xxxxxA\u0301x",
        281,
    ),
    ("Count a mix of single byte single word, and double word unicode characters", f"H\U0001f431☺{FAMILY}", 7),
    (
        "Count unicode emoji chars inside the basic multilingual plane",
        "\U0001f637\U0001f47e\U0001f621\U0001f525\U0001f4a9",
        10,
    ),
    (
        "Count unicode emoji chars outside the basic multilingual plane with skin tone modifiers",
        "\U0001f64b\U0001f3fd\U0001f468\u200d\U0001f3a4",
        4,
    ),
    (
        "Handle General Punctuation Characters with visible spaces(u2000-200A), no ZWJ/ZWNJ",
        f"This is a tweet with general punctuation characters: {SPACES} {MARKS}",
        110,
    ),
    (
        "Handle long url with invalid domain labels and short url",
        f"Long url with invalid domain labels and a short url: {HOST * 3}https://validurl.com",
        12079,
    ),
    (
        "Handle a 64 character domain without protocol",
        "randomurlrandomurlrandomurlrandomurlrandomurlrandomurlrandomurls.com",
        68,
    ),
    (
        "Do not allow > 140 CJK characters by virtue of CJK chars greater than 63 punycode encoded chars in the host",
        f"{KANA * 12} http://{KANA * 5}あいう.com",
        358,
    ),
    (
        "Allow > 140 CJK characters by virtue of CJK chars less than 63 punycode encoded chars in the host",
        f"{KANA * 12} http://{KANA * 5}あい.com",
        264,
    ),
    ("140 family emoji", FAMILY * 140, 280),
    ("Emoji with a leading character in the latin range is counted as 2", "1\u20e3", 2),
    (
        "Unicode 10.0 emoji",
        f"Unicode 10.0 emoji: \U0001f92a; \U0001f9d5; \U0001f9d5\U0001f3fe; {ENGLAND}",
        34,
    ),
    ("Unicode 9.0 emoji", "Unicode 9.0 emoji: \U0001f920; \U0001f483; \U0001f483\U0001f3fe", 29),
    ("Handle invalid characters", "ABC\u202a\uffffABC\ufffe", 12),
    (
        "Tweet text containing directional characters should be considered valid",
        "\u2066\u202ahttp://foobar.پاکستان/\u202c\u2069",
        31,
    ),
]
