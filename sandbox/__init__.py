"""X on this machine: sign in, posts, a timeline to look at, and faults on demand. `python -m sandbox` serves it.

It stands in for api.x.com and x.com in the first run and in tests, and stops there: one consumer, three accounts, text
only. Nothing here is used in production, and nothing outside this folder and the tests imports it.
"""

from sandbox.app import create_app

__all__ = ["create_app"]
