"""Who there is at this X: one application and three people. Fixed, so that every run and every test knows them."""

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


ACCOUNTS = (
    Account("1815121001", "ada", "Ada", 0),
    Account("1906120902", "grace", "Grace", 1),
    Account("1969122803", "linus", "Linus", 2),
)
BY_ID = {account.id: account for account in ACCOUNTS}
BY_HANDLE = {account.handle: account for account in ACCOUNTS}
