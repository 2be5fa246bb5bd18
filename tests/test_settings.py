"""What the environment may say, and how a start that cannot work says so."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import alarm
import settings

PRODUCTION = {
    "ENV": "production",
    "PUBLIC_URL": "https://tweets.example.com",
    "REDIS_URL": "rediss://:hush@redis.example.com:6380/0",
    "DATABASE_URL": "postgres://app:hush@db.example.com:5432/app",
    "X_CONSUMER_KEY": "key-of-x",
    "X_CONSUMER_SECRET": "secret-of-x",
    "SESSION_SECRET": "s" * 40,
    "TOKEN_KEYS": Fernet.generate_key().decode(),
}


def load(folder: Path, **environ: str) -> settings.Settings:
    """Settings of a machine where only this is set."""
    return settings.load(environ, data=folder / ".data")


def line_for(folder: Path, **environ: str) -> str:
    """The line that a refused start ends with."""
    with pytest.raises(SystemExit) as stop:
        load(folder, **environ)
    line = str(stop.value.code)
    assert "\n" not in line
    return line


def test_nothing_set_is_development_on_this_machine(tmp_path: Path) -> None:
    """Without any variable everything points at this machine."""
    found = load(tmp_path)
    assert not found.production
    assert (found.host, found.port, found.public_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert found.redis_url == "redis://127.0.0.1:6379/0"
    assert found.database_url == f"sqlite:///{tmp_path}/.data/tweetnow.db"
    assert found.x_site_url == found.x_api_url == "http://127.0.0.1:8001"
    assert str(found.x_consumer_key) == "sandbox-consumer-key"
    assert (found.worker_queues, found.worker_threads, found.admin_ids) == (("default",), 10, frozenset())


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    """A second start in development reads the secrets of the first, which nobody else on the machine can read."""
    first, second = load(tmp_path), load(tmp_path)
    assert str(first.session_secret) == str(second.session_secret)
    assert list(map(str, first.token_keys)) == list(map(str, second.token_keys))
    assert (tmp_path / ".data" / "env").stat().st_mode & 0o077 == 0


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """`.data/env` fills gaps, the environment decides, and an empty value counts as none."""
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data" / "env").write_text("PORT=9000\nREDIS_URL=redis://file:1/0\n")
    found = load(tmp_path, PORT="9001", REDIS_URL="")
    assert (found.port, found.redis_url) == (9001, "redis://file:1/0")


def test_production_with_everything_set(tmp_path: Path) -> None:
    """A complete production environment is taken, and leaves nothing on the disk."""
    found = load(tmp_path, **PRODUCTION, ADMIN_IDS="12, 2244994945", WORKER_QUEUES="high,default", PORT="5000")
    assert found.production
    assert (found.host, found.port) == ("0.0.0.0", 5000)
    assert (found.x_api_url, found.x_site_url) == ("https://api.x.com", "https://x.com")
    assert found.admin_ids == {"12", "2244994945"}
    assert found.worker_queues == ("high", "default")
    assert not (tmp_path / ".data").exists()


@pytest.mark.parametrize("name", sorted(PRODUCTION.keys() - {"ENV"}))
def test_production_refuses_a_gap(tmp_path: Path, name: str) -> None:
    """Whatever production needs and has not is named, with what it has to be; the development file fills no gap."""
    load(tmp_path)
    line = line_for(tmp_path, **PRODUCTION | {name: ""})
    assert line == f"{name} is not set: it has to be {settings.EXPECTED[name]}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "sqlite:///tweets.db"),
        ("X_API_URL", "http://127.0.0.1:8001"),
        ("X_API_URL", "https://api.x.com.example.com"),
        ("X_API_URL", "https://api.x.com:8443"),
        ("X_API_URL", "https://api.x.com/2"),
        ("X_API_URL", "https://user:hush@api.x.com"),
        ("X_API_URL", "http://api.x.com"),
        ("PUBLIC_URL", "http://tweets.example.com"),
        ("PUBLIC_URL", "https://tweets.example.com/app"),
        ("PUBLIC_URL", "https://tweets.example.com?a=1"),
        ("PUBLIC_URL", "https://tweets.example.com/#top"),
        ("PUBLIC_URL", "https://user:hush@tweets.example.com"),
        ("X_CONSUMER_KEY", "sandbox-consumer-key"),
        ("X_CONSUMER_SECRET", "sandbox-consumer-secret"),
    ],
)
def test_production_refuses_what_is_for_development(tmp_path: Path, name: str, value: str) -> None:
    """Values that only make sense on one's own machine stop a start in production."""
    line = line_for(tmp_path, **PRODUCTION | {name: value})
    assert line.startswith(f"{name} is ")
    assert "hush" not in line


def test_a_slash_at_the_end_is_no_path(tmp_path: Path) -> None:
    """Addresses are taken with it and kept without."""
    slashes = {"PUBLIC_URL": "https://tweets.example.com:8443/", "X_API_URL": "https://api.x.com/"}
    found = load(tmp_path, **PRODUCTION | slashes)
    assert (found.public_url, found.x_api_url) == ("https://tweets.example.com:8443", "https://api.x.com")


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6379/",
        "redis://h/15",
        "rediss://:hush@h:6380",
        "redis://h?db=3",
        "redis://[::1]:6379/0?socket_timeout=2&health_check_interval=30",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_a_redis_url_that_can_be_used_is_taken(tmp_path: Path, url: str) -> None:
    """With and without database, password, TLS and options."""
    found = load(tmp_path, REDIS_URL=url)
    assert found.redis_url == url.rstrip("/")
    alarm.connect(found)


@pytest.mark.parametrize(
    "url",
    ["redis://h:6379/0?foo=1", "rediss://h:6379?db=one", "redis://h:6379/0?socket_timeout=soon", "unix:///s?foo=1"],
)
def test_what_redis_py_refuses_stops_the_start(tmp_path: Path, url: str) -> None:
    """An option it does not know or cannot read ends with the line that any wrong REDIS_URL ends with."""
    found = load(tmp_path, REDIS_URL=url)
    with pytest.raises(SystemExit) as stop:
        alarm.connect(found)
    assert stop.value.code == f"REDIS_URL is {url!r}: it has to be {settings.EXPECTED['REDIS_URL']}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENV", "prod"),
        ("PORT", "eighty"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("REDIS_URL", "http://127.0.0.1:6379"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1:port/0"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://h/abc"),
        ("REDIS_URL", "redis://h:6379/0/1"),
        ("REDIS_URL", "redis://h:6379/0#1"),
        ("DATABASE_URL", "mysql://host/db"),
        ("PUBLIC_URL", "tweets.example.com"),
        ("QUEUE_NAMESPACE", "{queue}"),
        ("REDIS_TLS_VERIFY", "no"),
        ("ADMIN_IDS", "ada,grace"),
        ("WORKER_THREADS", "ten"),
        ("WORKER_QUEUES", "high,,default"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(tmp_path: Path, name: str, value: str) -> None:
    """The line says which variable, what it holds, and what it has to be."""
    environ = {"REDIS_URL": "rediss://host:1/0", name: value}
    assert line_for(tmp_path, **environ) == f"{name} is {value!r}: it has to be {settings.EXPECTED[name]}"


@pytest.mark.parametrize(("name", "value"), [("SESSION_SECRET", "too-short"), ("TOKEN_KEYS", "no-key,at-all")])
def test_a_wrong_secret_is_not_shown(tmp_path: Path, name: str, value: str) -> None:
    """A secret that cannot be used is named, its value is not."""
    line = line_for(tmp_path, **{name: value})
    assert line.startswith(f"{name} is wrong (not shown): ")
    assert value not in line


def test_a_wrong_address_hides_its_password(tmp_path: Path) -> None:
    """The password in an address that cannot be used is not shown either."""
    line = line_for(tmp_path, REDIS_URL="http://user:hush@host:1/0")
    assert "hush" not in line
    assert "http://***@host:1/0" in line
    line = line_for(tmp_path, REDIS_URL="redis://host:1/abc?password=hush&db=1")
    assert "hush" not in line
    assert "redis://host:1/abc?password=***&db=1" in line


def test_nothing_secret_is_printed(tmp_path: Path) -> None:
    """Settings can be logged: no secret and no password is in their text."""
    found = load(tmp_path, **PRODUCTION)
    shown = f"{found} {found!r}"
    assert "rediss://***@redis.example.com:6380/0" in shown
    for secret in ("hush", "key-of-x", "secret-of-x", "s" * 40, PRODUCTION["TOKEN_KEYS"]):
        assert secret not in shown


def test_keys_may_be_hex(tmp_path: Path) -> None:
    """What `openssl rand -hex 32` prints is a key too, and several are kept in order."""
    fernet = Fernet.generate_key().decode()
    found = load(tmp_path, TOKEN_KEYS=f"{'ab' * 32}, {fernet}")
    assert [str(key) for key in found.token_keys] == ["q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=", fernet]


def test_a_self_signed_redis_is_only_trusted_when_asked(tmp_path: Path) -> None:
    """The certificate of Redis is checked unless REDIS_TLS_VERIFY=0; without TLS there is none."""
    assert load(tmp_path, **PRODUCTION).redis_options == {}
    assert load(tmp_path, **PRODUCTION, REDIS_TLS_VERIFY="0").redis_options == {"ssl_cert_reqs": "none"}
    assert load(tmp_path, REDIS_TLS_VERIFY="0").redis_options == {}
