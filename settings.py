"""The only reader of the environment. A value that is missing or wrong stops the start, by name and with the remedy.

In development nothing needs to be set: what is missing is taken from `.data/env` (written by local.py), then from the
defaults below. Production refuses those that only a machine of one's own has, and secrets made up on the spot.
"""

import base64
import fcntl
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from starlette.config import Config
from starlette.config import environ as process_environ
from starlette.datastructures import Secret

DATA = Path(__file__).resolve().parent / ".data"
X_ITSELF = "https://api.x.com"

# What each variable has to be. The same words for people who set them and for those who set them wrong.
EXPECTED = {
    "ENV": "development or production",
    "HOST": "an address to listen on, like 127.0.0.1 or 0.0.0.0",
    "PORT": "a number from 1 to 65535",
    "PUBLIC_URL": "the address people type, like https://tweets.example.com, with nothing after the host or its port; "
    "in production it begins with https://",
    "REDIS_URL": "an address like redis://host:6379/0, rediss://host:6379/0 (TLS) or unix:///path/to/socket, "
    "with a number after the last / and no options that redis-py does not know",
    "QUEUE_NAMESPACE": "1 to 64 letters, digits or any of _ . -",
    "REDIS_TLS_VERIFY": "1, or 0 where Redis has a certificate it signed itself",
    "DATABASE_URL": "an address like postgres://user:password@host:5432/name; sqlite:///file.db only in development",
    "X_API_URL": f"the address of X's API: {X_ITSELF}; another one, like the sandbox's, only in development",
    "X_SITE_URL": "the address under which people see tweets, like https://x.com",
    "X_CONSUMER_KEY": "the API key of the app registered with X; the sandbox's only in development",
    "X_CONSUMER_SECRET": "the API key secret of the app registered with X; the sandbox's only in development",
    "SESSION_SECRET": "at least 32 characters that nobody can guess: openssl rand -hex 32",
    "TOKEN_KEYS": "Fernet keys or 64 hex digits each, newest first, with commas between: openssl rand -hex 32",
    "ADMIN_IDS": "X user ids (numbers, not handles) with commas between, or nothing",
    "METRICS_TOKEN": "16 or more ASCII characters that nobody can guess, or nothing: then there is no /metrics",
    "WORKER_THREADS": "a number from 1 to 1000",
    "WORKER_QUEUES": "names of lists, most urgent first, with commas between: letters, digits or any of _ . -",
    "LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR",
    "X_TOLERANCE_SECONDS": "how old a signed request X still takes, in seconds from 1 to 3600",
    "ABSENT_SECONDS": "how long a tweet must not appear on X until it is sent once more, in seconds from 1 to 3600",
    "POSTS_PER_MINUTE": "how many tweets a person may hand in within a minute, from 1 to 1000000",
    "SIGN_INS_PER_MINUTE": "how many sign-ins may begin from one address within a minute, from 1 to 1000000",
    "MISSED_AFTER_SECONDS": "how late a tweet is still sent unasked, in seconds from 1 to 31622400",
}
POSTGRES = "postgres(ql)?"
NAME = r"[A-Za-z0-9_.-]{1,64}"
DEFAULT = {
    "ENV": "development",
    "PORT": "8000",
    "QUEUE_NAMESPACE": "queue",
    "REDIS_TLS_VERIFY": "1",
    "WORKER_THREADS": "10",
    "WORKER_QUEUES": "default",
    "LOG_LEVEL": "INFO",
    "X_TOLERANCE_SECONDS": "300",
    "ABSENT_SECONDS": "60",
    "MISSED_AFTER_SECONDS": "3600",
    "POSTS_PER_MINUTE": "60",
    "SIGN_INS_PER_MINUTE": "30",
}
DEVELOPMENT = {
    "HOST": "127.0.0.1",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "X_API_URL": "http://127.0.0.1:8001",
    "X_CONSUMER_KEY": "sandbox-consumer-key",
    "X_CONSUMER_SECRET": "sandbox-consumer-secret",
}
PRODUCTION = {
    "HOST": "0.0.0.0",  # noqa: S104 - the platform's router has to reach it
    "X_API_URL": X_ITSELF,
    "X_SITE_URL": "https://x.com",
}
HIGHEST = {
    "worker_threads": 1000,
    "x_tolerance_seconds": 3600,
    "absent_seconds": 3600,
    "missed_after_seconds": 366 * 86400,
    "posts_per_minute": 10**6,
    "sign_ins_per_minute": 10**6,
}
SECRET = {"X_CONSUMER_KEY", "X_CONSUMER_SECRET", "SESSION_SECRET", "TOKEN_KEYS", "METRICS_TOKEN"}


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked. Secrets print as stars, addresses with a password not at all."""

    env: str
    host: str
    port: int
    public_url: str
    redis_url: str = field(repr=False)
    redis_options: dict[str, Any]
    queue_namespace: str
    database_url: str = field(repr=False)
    x_api_url: str
    x_site_url: str
    x_consumer_key: Secret
    x_consumer_secret: Secret
    session_secret: Secret
    token_keys: tuple[Secret, ...]
    admin_ids: frozenset[str]
    metrics_token: Secret
    worker_threads: int
    worker_queues: tuple[str, ...]
    log_level: str
    x_tolerance_seconds: int
    absent_seconds: int
    missed_after_seconds: int
    posts_per_minute: int
    sign_ins_per_minute: int

    @property
    def production(self) -> bool:
        """Whether strangers use it."""
        return self.env == "production"

    def __str__(self) -> str:
        where = f"database {without_password(self.database_url)}, X {self.x_api_url}"
        return f"{self.env}: Redis {without_password(self.redis_url)} ({self.queue_namespace}), {where}"


def load(environ: Mapping[str, str] | None = None, *, data: Path = DATA) -> Settings:
    """Read all settings. Exits with one line that names the variable, its value unless secret, and what to do."""
    read = _reader(process_environ if environ is None else environ, data)
    production = read.text("ENV") == "production"
    web, own_key = ("https", "(?!sandbox-).+") if production else ("https?", ".+")
    redis_url, redis_options = _redis(read)
    return Settings(
        env=read.text("ENV"),
        host=read.text("HOST"),
        port=read.number("PORT", 65535),
        public_url=read.address("PUBLIC_URL", f"{web}://[^/?#@]+"),
        redis_url=redis_url,
        redis_options=redis_options,
        queue_namespace=read.text("QUEUE_NAMESPACE", NAME),
        database_url=read.address("DATABASE_URL", f"{POSTGRES}://.+" if production else f"({POSTGRES}|sqlite)://.+"),
        x_api_url=read.address("X_API_URL", re.escape(X_ITSELF) if production else f"{web}://.+"),
        x_site_url=read.address("X_SITE_URL", f"{web}://.+"),
        x_consumer_key=Secret(read.text("X_CONSUMER_KEY", own_key)),
        x_consumer_secret=Secret(read.text("X_CONSUMER_SECRET", own_key)),
        session_secret=Secret(read.text("SESSION_SECRET", ".{32,}")),
        token_keys=read.keys("TOKEN_KEYS"),
        admin_ids=frozenset(read.words("ADMIN_IDS", "[0-9]{1,20}")),
        metrics_token=Secret(read.text("METRICS_TOKEN", "|[!-~]{16,}")),
        worker_queues=read.words("WORKER_QUEUES", NAME),
        log_level=read.text("LOG_LEVEL", "DEBUG|INFO|WARNING|ERROR"),
        **{name: read.number(name.upper(), highest) for name, highest in HIGHEST.items()},
    )


def _redis(read: "_Reader") -> tuple[str, dict[str, Any]]:
    url = read.address("REDIS_URL", r"unix:.+|rediss?://[^/?#]+(/[0-9]*)?(\?.*)?")
    loose = url.startswith("rediss:") and read.text("REDIS_TLS_VERIFY", "[01]") == "0"
    return url, {"ssl_cert_reqs": "none"} if loose else {}


def _reader(environ: Mapping[str, str], data: Path) -> "_Reader":
    """Decide what fills the gaps: in production nearly nothing, not even a file left by an experiment."""
    env = _Reader(Config(environ=environ), DEFAULT).text("ENV", "development|production")
    if env == "production":
        return _Reader(Config(environ=environ), DEFAULT | PRODUCTION)
    path = data / "env"
    read = _Reader(Config(path if path.is_file() else None, environ), DEFAULT | DEVELOPMENT)
    read.default["DATABASE_URL"] = f"sqlite:///{data / 'tweetnow.db'}"
    read.default["PUBLIC_URL"] = f"http://127.0.0.1:{read.number('PORT', 65535)}"
    read.default["X_SITE_URL"] = "https://x.com" if read.value("X_API_URL") == X_ITSELF else read.value("X_API_URL")
    if missing := [name for name in ("SESSION_SECRET", "TOKEN_KEYS") if not read.value(name)]:
        read.default.update(_kept_secrets(path, missing))
    return read


def _kept_secrets(path: Path, names: list[str]) -> dict[str, str]:
    """Make secrets for this machine and keep them, so that a restart signs nobody out and can read stored tokens."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)
    with path.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # web and worker may start at once
        kept = dict(line.strip().split("=", 1) for line in file if "=" in line)
        made = {name: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() for name in names if name not in kept}
        file.writelines(f"{name}={value}\n" for name, value in made.items())
    return kept | made


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one variable, checks it, or stops."""

    config: Config
    default: dict[str, str]

    def value(self, name: str) -> str:
        return str(self.config.get(name, default="")).strip() or self.default.get(name, "")

    def text(self, name: str, pattern: str = ".+") -> str:
        value = self.value(name)
        return value if re.fullmatch(pattern, value) else refuse(name, value)

    def number(self, name: str, highest: int) -> int:
        value = self.text(name, "[0-9]{1,9}")
        return int(value) if 1 <= int(value) <= highest else refuse(name, value)

    def words(self, name: str, pattern: str) -> tuple[str, ...]:
        value = self.value(name)
        words = tuple(word.strip() for word in value.split(",")) if value else ()
        return words if all(re.fullmatch(pattern, word) for word in words) else refuse(name, value)

    def address(self, name: str, pattern: str) -> str:
        value = self.value(name).rstrip("/")
        try:
            parts = urlsplit(value)
            good = re.fullmatch(pattern, value) and (parts.port or True)  # .port raises when it is no number
        except ValueError:
            good = False
        whole = good and (parts.hostname or parts.scheme in ("sqlite", "unix") or "host=" in parts.query)  # a socket
        return value if whole else refuse(name, self.value(name))

    def keys(self, name: str) -> tuple[Secret, ...]:
        keys = [_fernet_key(word) for word in self.words(name, ".+")]
        return tuple(key for key in keys if key) if keys and all(keys) else refuse(name, self.value(name))


def _fernet_key(text: str) -> Secret | None:
    """A Fernet key as it is, 64 hex digits (what `openssl rand -hex 32` and Heroku make) as the key of those bytes."""
    if re.fullmatch("[0-9a-fA-F]{64}", text):
        text = base64.urlsafe_b64encode(bytes.fromhex(text)).decode()
    try:
        Fernet(text)
    except ValueError:
        return None
    return Secret(text)


def refuse(name: str, value: str) -> NoReturn:
    """Stop the start: the line names the variable and what it has to be, and shows no secret."""
    value = without_password(value) if name.endswith("_URL") else value
    shown = "not set" if not value else "wrong (not shown)" if name in SECRET else repr(value)
    raise SystemExit(f"{name} is {shown}: it has to be {EXPECTED[name]}")


def without_password(url: str) -> str:
    """Return an address as it may be shown, without what is between its scheme and its last @, or a password option."""
    before, at, after = url.rpartition("@")
    shown = f"{before.partition('://')[0]}://***@{after}" if at else url
    return re.sub("(password=)[^&]*", r"\1***", shown)
