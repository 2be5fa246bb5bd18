"""Why a tweet is not out, in words a person can act on: one table, from a code to a sentence and its button."""

from dataclasses import dataclass

import tweet_text

LONGEST_DETAIL = LONGEST_KEY = 200

# code: (sentence, action). An action is one of ACTIONS; None when waiting is all there is to do.
# {detail} is X's own words, or what happened.
TABLE: dict[str, tuple[str, str | None]] = {
    # The tweet still waits.
    "unreachable": ("X cannot be reached right now. Nothing was sent; we try again by ourselves.", None),
    "rate_limited": ("X asks us to wait before we send more for you. The tweet goes out by itself after that.", None),
    "out_of_credit": (
        "This app has used up what it may send to X. Your tweet is kept and goes out when that is mended.",
        "contact_operator",
    ),
    "waits_for_sign_in": ("X no longer accepts your sign-in. Sign in again, and this tweet goes out.", "sign_in"),
    "checking": (
        "X did not say whether it took this tweet. We look at your timeline before anything is sent again.",
        "open_profile",
    ),
    "sent_once_more": ("X did not take it the first time, so it is sent once more.", None),
    # Its time is over.
    "missed": (
        "We could not send this when it was due, and that is too long ago to send it unasked. Send it now if it fits.",
        "send_again",
    ),
    # It failed: X certainly does not have it.
    "gave_up": ("X could not be reached, and we stopped trying. Nothing was sent: send it again later.", "send_again"),
    "stopped": (
        "Something went wrong on our side, and we stopped trying. Nothing was sent: send it again.",
        "send_again",
    ),
    "signed_out": ("X no longer accepts your sign-in. Sign in again, then send the tweet again.", "sign_in"),
    "duplicate": (
        "X says you have already posted these words. Look at your profile, or change them and send again.",
        "open_profile",
    ),
    "too_long": ("X says the text is too long. Shorten it and send it again.", "edit"),
    "not_permitted": (
        'X did not allow this tweet: "{detail}". Look on X whether your account is locked or restricted.',
        "open_profile",
    ),
    "app_refused": (
        'X does not let this app post for you: "{detail}". Tell its operator, then sign in again.',
        "contact_operator",
    ),
    "refused": ('X refused the tweet: "{detail}". Change it and send it again.', "edit"),
    "keys_changed": ("Your sign-in was stored under a key this app no longer has. Sign in again.", "sign_in"),
    # Nobody knows: X may have it or not.
    "no_answer": (
        "We cannot tell whether X took this tweet ({detail}). Look at your profile before you send it again.",
        "open_profile",
    ),
    "no_look": (
        "X may have this tweet, and did not let us look. See whether it is on your profile before you send it again.",
        "open_profile",
    ),
    "earlier_try": (
        "An earlier try may have reached X, and none since did. Look at your profile before you send it again.",
        "open_profile",
    ),
    # Signing in.
    "sign_in_refused": ('X refused the sign-in: "{detail}". Start again.', "sign_in"),
    "app_unknown": (
        "X does not accept the keys of this app (X_CONSUMER_KEY, X_CONSUMER_SECRET), or its clock. Tell the operator.",
        "contact_operator",
    ),
    "callback_refused": (
        "X does not know the address it should return to, {detail}. The operator has to add it to the app at X.",
        "contact_operator",
    ),
}
ACTIONS = ("sign_in", "edit", "open_profile", "send_again", "contact_operator")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, ready to be stored and shown."""

    code: str
    message: str
    action: str | None


def reason(code: str, detail: str = "") -> Reason:
    """Return the reason of a code, with a detail in X's words where its sentence has a place for one."""
    message, action = TABLE[code]
    detail = " ".join(detail.split()).removesuffix(".")  # the sentence around it has its own
    if len(detail) > LONGEST_DETAIL:
        detail = detail[: LONGEST_DETAIL - 1] + "…"
    return Reason(code, message.replace("{detail}", detail or "no details"), action)


def columns(why: Reason | None) -> dict[str, str | None]:
    """Return a reason, or that there is none, as a row keeps it."""
    if why is None:
        return {"reason_code": None, "reason_message": None, "reason_action": None}
    return {"reason_code": why.code, "reason_message": why.message, "reason_action": why.action}


class BadTweet(ValueError):
    """What somebody asked for cannot be a tweet, or not now. `message` names the value and the remedy."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def checked(text: str) -> str:
    """Return a text that X would take. Raises BadTweet for another one."""
    if problem := tweet_text.problem(text):
        raise BadTweet(*problem)
    return text


def checked_key(key: str) -> str:
    """Return a key that can be kept. Raises BadTweet for another one."""
    if not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise BadTweet("bad_key", f"The key {key[:20]!r} is not 1 to {LONGEST_KEY} ASCII characters: use a UUID.")
    return key
