"""One process of a federation: a command line that ends when the process that started it does.

    python -m cohortium_simulations.child cohortium_node.cli -c north/node.toml run

Standard input is a pipe whose other end only the parent holds. However the parent ends, by SIGKILL too, the
operating system closes that end, and this process ends at once: as safe for what it keeps as any other crash.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module


def main() -> None:
    """Runs the command line of the module named first, with the arguments after it."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    _, module, *arguments = sys.argv
    sys.argv = [module, *arguments]
    import_module(module).main()


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
