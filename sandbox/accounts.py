"""Who there is at this X: one application and three people, so that every run knows them; more when it is told so."""

from dataclasses import dataclass

CONSUMER_KEY = "sandbox-consumer-key"
CONSUMER_SECRET = "sandbox-consumer-secret"  # noqa: S105  no secret: printed in the README, good for nothing elsewhere


@dataclass(frozen=True, slots=True)
class Account:
    """A person with an account. `color` is the one of the picture on the pages: 0, 1 or 2."""

    id: str
    handle: str
    name: str
    color: int


ACCOUNTS = [
    Account("1815121001", "ada", "Ada", 0),
    Account("1906120902", "grace", "Grace", 1),
    Account("1969122803", "linus", "Linus", 2),
]
BY_ID = {account.id: account for account in ACCOUNTS}
BY_HANDLE = {account.handle: account for account in ACCOUNTS}


def invite(total: int) -> None:
    """Make it so many people in all: guest4, guest5 and so on."""
    for number in range(len(ACCOUNTS) + 1, total + 1):
        guest = Account(str(2_000_000_000 + number), f"guest{number}", f"Guest {number}", number % 3)
        ACCOUNTS.append(guest)
        BY_ID[guest.id] = BY_HANDLE[guest.handle] = guest
