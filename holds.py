"""What X takes nothing of for a while: one person's tweets (signed out, rate limit), or the whole app's (no credit).

Answers come in any order, so a hold is never shortened by another one: only by the sign-in or the trial that ends it.
"""

from reasons import Reason, reason
from tables import App, Person
from times import now_ms

TRIAL = 30_000  # ms that one tweet has to find out whether the app may post again
CREDIT_WAIT = 600.0  # seconds until we ask again whether the app may send
SHORTEST_WAIT, LONGEST_WAIT = 60.0, 900.0  # seconds, when X says "later" but not when, or names no sensible time
SENSIBLE_WAIT = 24 * 3600.0  # seconds; the longest of X's limits is a day


def hold(user: Person, code: str, until: int) -> None:
    """X takes nothing more of theirs until then. A sign-in since we last looked makes that untrue."""
    person = type(user)
    still = (person.token == user.token, person.held_until < until)
    person.update(held_for=code, held_until=until).where(person.id == user.id, *still).execute()


def signed_in(person: type[Person], x_id: str) -> None:
    """Nothing of theirs waits for a sign-in any more. What X said about their rate is as true as before."""
    waits = (person.x_id == x_id, person.held_for == "waits_for_sign_in")
    person.update(held_for=None, held_until=0).where(*waits).execute()


def hold_app(until: int) -> None:
    """Nobody's tweet goes to X until then."""
    App.insert(id=1).on_conflict_ignore().execute()
    App.update(held_until=until).where(App.held_until < until).execute()


def held(user: Person) -> tuple[Reason | None, int]:
    """Return why nothing of theirs may go to X, and until when. Without a reason it may, and the number is for `took`.

    When a hold of the app is over one tweet goes ahead to try; the others follow when X took it.
    """
    now = now_ms()
    if user.held_for and user.held_until > now:
        return reason(user.held_for), user.held_until
    until, trial_ends = App.select(App.held_until).scalar() or 0, now + TRIAL
    if not until:
        return None, 0
    if until <= now and _tries(until, trial_ends):
        return None, trial_ends
    return reason("out_of_credit"), max(until, trial_ends)


def took(trial_ends: int) -> None:
    """X took a tweet. If it was the one that tried, the hold of the app is over; any other proves nothing about it."""
    if trial_ends:
        App.update(held_until=0).where(App.held_until == trial_ends).execute()


def _tries(until: int, trial_ends: int) -> bool:
    """Whether this one goes ahead, of all that see the hold end."""
    return bool(App.update(held_until=trial_ends).where(App.held_until == until).execute())


def rate_limit_wait(reset: float | None, now: float, chance: float) -> float:
    """Return how many seconds to wait, with up to a tenth and five more so that not all come back at once."""
    wait = SHORTEST_WAIT if reset is None or reset < now - SHORTEST_WAIT else max(reset - now, 1.0)
    if wait > SENSIBLE_WAIT:
        wait = LONGEST_WAIT
    return wait + chance * (wait / 10 + 5)
