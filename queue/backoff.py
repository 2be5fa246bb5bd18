"""How long to wait before trying again. Chance is an argument."""

BASE, CAP = 15.0, 3600.0  # seconds
RECONNECT = 2.0  # seconds that nobody waits longer before he looks again for a Redis that was away


def delay(failures: int, jitter: float) -> float:
    """Return seconds before the next try after so many failures (from 1): doubling, capped.

    Jitter, from 0 to 1, only adds, up to a half: a wait that somebody asked for is never cut short.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
    """
    return min(BASE * 2.0 ** min(failures - 1, 20), CAP) * (1 + jitter / 2)


def reconnect(attempt: int, jitter: float) -> float:
    """Return seconds before the next look at a Redis that is away: from 50 ms up to 2 s."""
    return min(0.05 * 2.0 ** min(attempt, 10), RECONNECT) * (0.5 + jitter / 2)
