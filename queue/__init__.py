"""A job queue on plain Redis, in a folder that may be called `queue`: the standard module with our names added.

redis, urllib3, logging.handlers and concurrent.futures import the standard `queue` and find this one, so every name of
that module is here, the same classes for everybody. Ours are listed in `_names` and loaded on first use: redis imports
`queue` while it is loading itself, so nothing here may import redis. Under any other name the folder is only ours.
"""

from . import _names


def _standard() -> dict[str, object]:
    """Run the standard module's file once, under its own name so that its classes pickle as everywhere else."""
    import os
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("queue", [os.path.dirname(os.__file__)])
    module = module_from_spec(spec)  # not kept in sys.modules: a fresh import of this folder gets a fresh one
    spec.loader.exec_module(module)
    return {name: value for name, value in vars(module).items() if name == "__all__" or not name.startswith("__")}


if __name__ == "queue":
    globals().update(_standard())
else:
    __all__ = list(_names.NAMES)
del _standard
