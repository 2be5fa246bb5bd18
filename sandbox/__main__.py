"""`python -m sandbox --callback URL`: serve X on this machine until told to stop. `--help` lists what can be turned."""

import argparse
import sqlite3
import sys
from pathlib import Path

from sandbox import accounts, oauth
from sandbox.app import create_app
from sandbox.server import HOST, bind, serve


def main() -> int:
    """Read the command line and serve. 1 when the port is taken or the folder cannot be used."""
    options = read_options()
    accounts.invite(options.accounts)
    oauth.Validator.timestamp_lifetime = options.tolerance
    repeats = accounts.BY_HANDLE if options.repeats == [] else options.repeats or ()
    try:
        app = create_app(options.callback, options.data, repeats=repeats)
    except (OSError, sqlite3.Error) as error:
        print(f"sandbox: cannot keep data in {options.data}: {error}. Choose another --data.", file=sys.stderr)
        return 1
    try:
        listener = bind(options.port)
    except (OSError, OverflowError) as error:
        print(f"sandbox: cannot listen on {HOST}:{options.port}: {error}. Choose another --port.", file=sys.stderr)
        return 1
    print(f"sandbox: X on this machine at http://{HOST}:{listener.getsockname()[1]}", flush=True)
    serve(app, listener)
    return 0


def read_options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A local stand-in for X.")
    parser.add_argument("--port", type=int, default=8001, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--callback", action="append", required=True, metavar="URL", help="may be given again")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep accounts and tweets here over restarts")
    parser.add_argument("--accounts", type=int, default=3, metavar="N", help="how many people (default: %(default)s)")
    parser.add_argument(
        "--tolerance", type=int, default=oauth.CLOCK_TOLERANCE, metavar="SECONDS",
        help="how old a signature may be (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--repeats",
        nargs="*",
        metavar="HANDLE",
        help="publish the same words again, which X does not: of all, or of these",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
