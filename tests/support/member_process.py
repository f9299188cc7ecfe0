"""A node of a group as a process of its own, which kills itself at a fault point.

`member_process.py FOLDER NAME NODES FAULT_POINT`: it handles one message from stdin, and prints the answer if it gets
so far.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from node_group import open_member, policy_of, secure_plan
from node_parts import NOW

from cohortium_node.service import NodeService


def main(folder: str, name: str, nodes: str, fault_point: str) -> None:
    def kill_here(point: str) -> None:
        if point == fault_point:
            os.kill(os.getpid(), signal.SIGKILL)

    policy = policy_of(name, secure_plan(int(nodes)))
    with open_member(Path(folder), name, policy, faults=kill_here) as node:
        (answer,) = NodeService(node).handle(sys.stdin.buffer.read(), NOW)
        sys.stdout.write(answer.decode())


main(*sys.argv[1:])
