// X's weighted length of a text, as tweet_text.py counts it, near enough to be a guide while typing; the server counts
// for good. It knows the top-level names of all countries and the usual others; links with http:// may have any.

const COUNTRIES =
  "as in ac ad ae af ag ai al am an ao aq ar at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et eu fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tp tr tt tv tw tz ua ug uk um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw";
const OTHERS =
  "com org net edu gov info int mil biz name museum app dev xyz online site shop store blog news page live tech cloud media digital design studio world today wiki video email link click space website art music games agency company social network systems academy team group berlin london tokyo nyc africa asia";
const TOP = `(?:${`${COUNTRIES} ${OTHERS}`.replaceAll(" ", "|")})`;
const LATIN = "\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u024f";
const LABEL = "[^!'#%&()*+,\\\\./:;<=>?@[\\]^{|}~$\\s\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ufffe\\uffff]{1,63}";
const INSIDE = `[a-z\\u0400-\\u04ff0-9!*';:=+,.$/%#[\\]\\u2013_~@|&${LATIN}-]`;
const END = `[+a-z\\u0400-\\u04ff0-9=_#/${LATIN}-]`;
const PARENS = `\\((?:${INSIDE}+|${INSIDE}*\\(${INSIDE}+\\)${INSIDE}*)\\)`;
const REST = `(?::\\d+)?(?:/(?:(?:${INSIDE}|${PARENS})*(?:${END}|${PARENS}))?)?(?:\\?[a-z0-9!?*'@();:&=+$/%#[\\]_.,~|-]*[a-z0-9_&=#/-])?`;
const LINK = new RegExp(
  `(?<![a-z0-9@\\uff20$#\\uff03])(?:https?://t\\.co/[a-z0-9]+|https?://((?:${LABEL}\\.)+[\\p{L}\\p{M}-]{2,63})(?![0-9a-z@+-])${REST}` +
    `|(?<![._/-])(?:(?!-)[a-z0-9${LATIN}-]{1,63}\\.)+${TOP}(?![0-9a-z@+-])${REST})`,
  "giu",
);
const EMOJI = /\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|\p{Regional_Indicator}|\u20e3/u;
const LIGHT = [[0, 4351], [8192, 8205], [8208, 8223], [8242, 8247]]; // these weigh 1, all others 2
const graphemes = new Intl.Segmenter();

export function weight(text) {
  let links = 0;
  const rest = text.replace(/\r\n?/g, "\n").normalize("NFC").replace(LINK, (link, host) => {
    if (host && !short(host)) return link;
    links += 1;
    return "\n"; // so that what stood before and after stays apart
  });
  return plain(rest) + 22 * links;
}

// A name over 63 letters is none, as it is written in the network.
function short(host) {
  const known = URL.canParse(`http://${host}`);
  return known && new URL(`http://${host}`).hostname.split(".").every((name) => name.length <= 63);
}

function plain(text) {
  let sum = 0;
  for (const { segment } of graphemes.segment(text)) {
    if (EMOJI.test(segment)) sum += 2;
    else for (const char of segment) sum += LIGHT.some(([low, high]) => low <= char.codePointAt(0) && char.codePointAt(0) <= high) ? 1 : 2;
  }
  return sum;
}
