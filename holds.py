"""What X takes nothing of for a while: one person's tweets (signed out, rate limit), or the whole app's (no credit)."""

from reasons import Reason, reason
from tables import App, Person
from times import now_ms

TRIAL = 30_000  # ms that one tweet has to find out whether the app may post again


def hold(user: Person, code: str, until: int) -> None:
    """X takes nothing more of theirs until then. A sign-in since we last looked makes that untrue."""
    person = type(user)
    changes = {"held_for": code, "held_until": until}
    person.update(**changes).where(person.id == user.id, person.token == user.token).execute()


def hold_app(until: int) -> None:
    """Nobody's tweet goes to X until then; 0 ends that."""
    if until:
        App.insert(id=1).on_conflict_ignore().execute()
    App.update(held_until=until).where(App.held_until != until).execute()


def held(user: Person) -> tuple[Reason, int] | None:
    """Return why nothing of theirs may go to X, and until when; None when it may.

    When a hold of the app is over one tweet goes ahead to try; the others follow when X took it.
    """
    now = now_ms()
    if user.held_for and user.held_until > now:
        return reason(user.held_for), user.held_until
    until = App.select(App.held_until).scalar() or 0
    if not until or (until <= now and _tries(until, now + TRIAL)):
        return None
    return reason("out_of_credit"), max(until, now + TRIAL)


def _tries(until: int, trial_ends: int) -> bool:
    """Whether this one goes ahead, of all that see the hold end."""
    return bool(App.update(held_until=trial_ends).where(App.held_until == until).execute())
