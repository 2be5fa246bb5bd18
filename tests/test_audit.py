"""What `make audit` makes of the answers of pip-audit."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import audit

GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["3"], "description": "long"}]}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found on PyPI and could not be audited: ours (1)"}


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ({"dependencies": [GOOD, UNKNOWN]}, 0, "1 packages, 1 that pypi.org does not know, 0 holes"),
        ({"dependencies": [GOOD, BAD]}, 1, "bad 2: CVE-2026-1, mended in 3"),
        ({"dependencies": [UNKNOWN]}, 0, "not done, because pypi.org cannot be asked from here (Dependency not found"),
        (None, 0, "not done, because pypi.org cannot be asked from here (no route)"),
    ],
)
def test_a_hole_fails_and_silence_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Any, code: int, says: str
) -> None:
    """A known hole is a failure; where nothing can be known, it is said that nothing is."""
    tool = tmp_path / "python"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer) if answer else ''}\nEND\necho 'no route' >&2\n")
    tool.chmod(0o700)
    assert audit.main(str(tool), "somewhere") == code
    assert says in capsys.readouterr().out
