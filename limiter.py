"""How often somebody may do something. Counted in this process alone, so that it works while Redis is away.

With several web processes each counts for itself.
"""

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from pages import Trouble

WORDS = {
    "posts": "These are more than {limit} tweets within a minute, so this one was not accepted. Send it in {wait} s.",
    "sign_ins": "From your address more than {limit} sign-ins were begun within a minute. Try again in {wait} s.",
}
_window = MovingWindowRateLimiter(MemoryStorage())


def count(what: str, who: str, limit: int) -> None:
    """Count one more within a minute. Raises Trouble 429, with the seconds to wait, when it is one too many."""
    item = RateLimitItemPerMinute(limit)
    if not _window.hit(item, what, who):
        wait = max(math.ceil(_window.get_window_stats(item, what, who).reset_time - time.time()), 1)
        raise Trouble(429, f"too_many_{what}", WORDS[what].format(limit=limit, wait=wait), retry_after=wait)


def address(request: Request) -> str:
    """Whose request this is: in production what the router in front appended, the only entry that nobody can forge."""
    passed = request.headers.getlist("x-forwarded-for") if request.app.state.settings.production else []
    if passed:
        return passed[-1].rpartition(",")[2].strip()
    return request.client.host if request.client else ""
