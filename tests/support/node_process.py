"""A node as a process of its own, which kills itself at a fault point: `node_process.py FOLDER ROUND FAULT_POINT`.

It handles the plan and one round request, and prints the answer if it gets so far.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from node_parts import NOW, make_plan, open_service, plan_message, round_message


def main(folder: str, round_name: str, fault_point: str) -> None:
    def kill_here(point: str) -> None:
        if point == fault_point:
            os.kill(os.getpid(), signal.SIGKILL)

    plan = make_plan()
    with open_service(Path(folder), faults=kill_here) as service:
        service.handle(plan_message(plan), NOW)
        sys.stdout.write(service.handle(round_message(plan, round_name), NOW)[0].decode())


main(*sys.argv[1:])
