"""The tests: a package, so that `from tests.servers import ...` means the same everywhere."""
