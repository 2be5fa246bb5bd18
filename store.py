"""Where rows are kept: SQLite on this machine, or Postgres; and the keys under which X's tokens are kept in them."""

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import peewee
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from playhouse import db_url

from settings import Settings

# Busy first: a second process that starts while the first one turns on the write-ahead log has to wait for it.
PRAGMAS = (("busy_timeout", 5000), ("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1))

# How long Postgres may be silent, in s and ms. By itself libpq waits for minutes, and with it threads and /healthz.
SILENCE: dict[str, Any] = {
    "connect_timeout": 5, "tcp_user_timeout": 10_000,
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2,
}  # fmt: skip

logging.getLogger("peewee").setLevel(logging.INFO)  # at DEBUG it writes what is stored, whatever level the program asks

database = peewee.DatabaseProxy()
_vault: list[MultiFernet] = []


class Unreadable(Exception):
    """A stored token cannot be decrypted with any key of TOKEN_KEYS."""


class Row(peewee.Model):
    """A table of this app."""

    class Meta:
        """Where it is."""

        database = database


def open_store(settings: Settings) -> None:
    """Choose database and keys. Opens no connection: that is for `database.connection_context()`, in each thread."""
    url = settings.database_url
    if url.startswith("sqlite"):
        Path(urlsplit(url).path[1:]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.initialize(db_url.connect(url, pragmas=PRAGMAS, lock_type="IMMEDIATE"))
    else:
        options = SILENCE | ({"sslmode": "require"} if settings.production else {})
        unsaid = {name: value for name, value in options.items() if f"{name}=" not in url}
        database.initialize(db_url.connect(url, unquote_password=True, unquote_user=True, **unsaid))
    _vault[:] = [MultiFernet([Fernet(str(key)) for key in settings.token_keys])]


def make_tables(*rows: type[Row]) -> None:
    """Make what is missing. Web and worker may do so at the same moment: who comes second looks again."""
    for last in (False, False, True):
        try:
            with database.connection_context(), database.atomic():
                for row in rows:
                    if database.table_exists(row._meta.table_name):
                        _add_columns(row)
                        _part_twins(row)
                database.create_tables(rows, safe=True)
            return
        except (peewee.IntegrityError, peewee.ProgrammingError, peewee.OperationalError):
            if last:
                raise


def _add_columns(row: type[Row]) -> None:
    """Add the columns that a table from an older version lacks. All that came later may be empty or says DEFAULT.

    Not with peewee's migrator: on SQLite it makes the table anew, and dropping the old one deletes what refers to it.
    """
    table = row._meta.table_name
    have = {column.name for column in database.get_columns(table)}
    for field in row._meta.sorted_fields:
        if field.column_name not in have:
            context = database.get_sql_context()
            database.execute_sql(*context.literal(f'ALTER TABLE "{table}" ADD COLUMN ').sql(field.ddl(context)).query())


def _part_twins(row: type[Row]) -> None:
    """Where what came to be unique is there twice, keep the first: an index that cannot be made stops the start."""
    made = {column for index in database.get_indexes(row._meta.table_name) if index.unique for column in index.columns}
    key: Any = row._meta.primary_key
    for field in row._meta.sorted_fields:
        if field.unique and field.null and field.column_name not in made:
            first = row.select(peewee.fn.MIN(key)).where(field.is_null(False)).group_by(field)
            row.update({field: None}).where(field.is_null(False), key.not_in(first)).execute()


def away(error: peewee.OperationalError) -> str:
    """Return the line with which a program ends that cannot start without its database."""
    said = str(error).partition("\n")[0]
    return f"the database does not answer ({said}): see that it runs, and DATABASE_URL"


def lock_up(text: str) -> str:
    """Encrypt with the newest key."""
    return _vault[0].encrypt(text.encode()).decode()


def unlock(text: str) -> str:
    """Decrypt with whichever key fits. Raises Unreadable if none does."""
    try:
        return _vault[0].decrypt(text.encode()).decode()
    except InvalidToken:
        raise Unreadable("no key of TOKEN_KEYS opens a stored token") from None
