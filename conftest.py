"""Makes `import queue` mean our folder, before any test is collected. Fixtures are in `tests/conftest.py`."""

import os
import queue
import sys

if not hasattr(queue, "__path__"):  # the standard library's came first: lend it our names
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    queue.__path__ = [os.path.join(sys.path[0], "queue")]
    import queue._names
