"""X's rate limits: so many calls of a kind per person in a window that starts with the first. Knows nothing of HTTP."""

from dataclasses import dataclass, field

KINDS = ("post", "delete", "me", "timeline")


@dataclass(slots=True)
class Room:
    """One person's window for one kind of call. `reset` is its end, in Unix seconds."""

    limit: int
    used: int
    reset: int


@dataclass(slots=True)
class Limits:
    """The limits of X's documentation, until a test sets its own. `window` is in seconds."""

    window: int = 900
    calls: dict[str, int] = field(default_factory=lambda: {"post": 100, "delete": 50, "me": 75, "timeline": 900})
    rooms: dict[tuple[str, str], Room] = field(default_factory=dict)

    def set(self, wanted: dict[str, int]) -> None:
        """Change some of the limits, or the window, and start every window anew. ValueError names what is wrong."""
        for name, value in wanted.items():
            if name not in (*KINDS, "window"):
                raise ValueError(f"no limit {name!r}; there are {', '.join(KINDS)} and window")
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} must be a whole number from 1, not {value!r}")
        self.window = wanted.get("window", self.window)
        self.calls |= {name: value for name, value in wanted.items() if name != "window"}
        self.rooms.clear()

    def count(self, kind: str, account_id: str, now: float) -> tuple[bool, Room]:
        """Count one call. False when it is one too many; it is then not counted."""
        room = self.rooms.get((kind, account_id))
        if room is None or room.reset <= now:
            room = self.rooms[kind, account_id] = Room(self.calls[kind], 0, int(now) + self.window)
        allowed = room.used < room.limit
        room.used += allowed
        return allowed, room
