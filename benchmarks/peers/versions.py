"""Prints as JSON which versions of the given packages this environment has; null for a missing one."""

import json
import sys
from importlib.metadata import PackageNotFoundError, version


def found(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps({name: found(name) for name in sys.argv[1:]}))
