"""`make audit`: whether a package that we install has a known hole. Not part of the tests: what is known changes.

pip-audit asks pypi.org for that, which no index of packages that is a copy or a folder can answer. Where pypi.org
cannot be asked nothing is known, and that is said: it is no reason to fail, and none to believe that all is well.
"""

import json
import subprocess
import sys
from typing import Any

COMMAND = ["-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--timeout", "10", "--path"]


def main(python: str, path: str) -> int:
    """Audit what is installed in this folder; 1 when something has a hole."""
    done = subprocess.run([python, *COMMAND, path], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        packages = []
    asked = [package for package in packages if "vulns" in package]
    if not asked:
        words = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        why = packages[0]["skip_reason"] if packages else words[:200]
        print(f"audit: not done, because pypi.org cannot be asked from here ({why})")
        return 0
    holes = found(asked)
    print(f"audit: {len(asked)} packages, {len(packages) - len(asked)} that pypi.org does not know, {len(holes)} holes")
    print(*holes, sep="\n", end="\n" if holes else "")
    return 1 if holes else 0


def found(packages: list[dict[str, Any]]) -> list[str]:
    """A line for each hole, with the version that mends it."""
    lines = []
    for package in packages:
        for hole in package["vulns"]:
            mended = ", ".join(hole["fix_versions"]) or "none yet"
            lines.append(f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}")
    return lines


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
