"""What a secure sum costs: bytes and CPU per node and round, and CPU at the coordinator.

    python benchmarks/secure_sum.py                     # prints the table; 200 nodes take a few minutes
    python benchmarks/secure_sum.py --nodes 5,20 --write docs/benchmarks/secure-sum.md

Everything runs in one process and one thread, in memory. Bytes are those of whole signed envelopes, both ways. A fifth
of the nodes is lost, the worst way for the coordinator: half of them after sharing (their pairwise masks are rebuilt),
half after acknowledging (their own masks are).
"""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import click
import numpy as np

from cohortium_protocols.secure_sum import Aggregator, Identity, Participant, Rules, Session
from cohortium_protocols.secure_sum.messages import STAGES
from cohortium_protocols.signing import Envelope, SigningKey

DIMENSION = 2_000
T = TypeVar("T")


@dataclass
class Costs:
    """What was used: CPU seconds by step and side, bytes by direction."""

    cpu: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    sent: int = 0
    received: int = 0

    def timed(self, side: str, stage: str, work: Callable[[], T]) -> T:
        start = time.process_time()
        result = work()
        self.cpu[side, stage] += time.process_time() - start
        return result

    def total(self, side: str) -> float:
        return sum(seconds for (who, _), seconds in self.cpu.items() if who == side)


def run(rules: Rules) -> Costs:
    """Returns the costs of one round among as many nodes as the rules say; checks that the sum is exact."""
    costs, operator = Costs(), SigningKey.generate()
    roster = tuple(f"node-{number:03}" for number in range(rules.nodes))
    keys = {node: SigningKey.generate() for node in roster}
    pins = {node: key.public for node, key in keys.items()}
    session = Session("benchmark", "lab", "0" * 64, "profile", 1, "1" * 64, roster, rules, DIMENSION)
    nodes = {node: Participant(session, Identity(node, keys[node], pins)) for node in roster}
    generator = np.random.default_rng(1)
    vectors = {node: generator.integers(-(2**50), 2**50, DIMENSION) for node in roster}
    aggregator = Aggregator(session, pins)
    lost = {node: 2 if place < rules.lost // 2 else 4 for place, node in enumerate(roster[: rules.lost])}
    requests = dict.fromkeys(roster)
    for number, stage in enumerate(STAGES):
        for node, said in requests.items():
            if number >= lost.get(node, len(STAGES)):
                continue
            if said is not None:
                costs.received += len(Envelope.sign(stage, "benchmark", "lab", node, said.body(), operator).to_bytes())
            arguments = [] if said is None else [said, vectors[node]] if stage == "mask" else [said]
            step = getattr(nodes[node], stage)
            message = costs.timed("node", stage, lambda step=step, arguments=arguments: step(*arguments))
            costs.sent += len(message)
            costs.timed("coordinator", stage, lambda message=message: aggregator.take(message))
        requests = costs.timed("coordinator", stage, aggregator.close)
    total = aggregator.total
    if total is None or not np.array_equal(total.values, sum(vectors[node] for node in total.survivors)):
        raise SystemExit("the sum is wrong")
    return costs


def row(nodes: int) -> str:
    rules = Rules(nodes, nodes // 5, max(1, nodes // 20))
    costs = run(rules)
    steps = " | ".join(f"{1000 * costs.cpu['node', stage] / nodes:,.1f}" for stage in STAGES)
    return (
        f"| {nodes} | {rules.lost} | {rules.colluding} | {rules.threshold} "
        f"| {costs.sent / nodes / 1000:,.1f} | {costs.received / nodes / 1000:,.1f} "
        f"| {steps} | {1000 * costs.total('node') / nodes:,.0f} | {costs.total('coordinator'):,.2f} |"
    )


HEAD = f"""# What a secure sum costs

Measured with `python benchmarks/secure_sum.py` on one thread of {{machine}}, Python {platform.python_version()}: one
round with a vector of {DIMENSION:,} integers, averaged over all nodes, those that were lost included. A fifth of them
is lost, half of these after sharing and half after acknowledging: most work for the coordinator. Every sum was checked
to be exact. Kilobytes are thousands of bytes of whole signed envelopes. A node sends 5 messages and receives 5 (the
first is the round's request, which a round without secure sums has too; its bytes are not counted).

| nodes | lost | colluders assumed | threshold T | kB sent | kB received | announce, ms CPU | share | mask | acknowledge
| reveal | all steps, ms CPU a node | coordinator, s CPU |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
""".replace("acknowledge\n|", "acknowledge |")

TAIL = f"""
- The vector itself is {DIMENSION * 8 / 1000:,.0f} kB. It is written in base64 twice (the integers, then the envelope's
  body): {DIMENSION * 8 * 16 / 9 / 1000:,.0f} kB.
- Sharing costs most: two seeds of 16 bytes are split for the whole roster in pure Python, n T multiplications in a
  field of 2^128 elements each. Masking is one key agreement and one key stream a peer.
- The coordinator rebuilds seeds only for nodes that were lost after sharing. Survivors that reveal name the seed of
  their own mask themselves.
"""


@click.command()
@click.option("--nodes", default="5,20,50,100,200", help="How many nodes, with commas between.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the page to this file as well.")
@click.option("--machine", default=f"a {platform.machine()} machine", help="How the page names the machine.")
def main(nodes: str, write: Path | None, machine: str) -> None:
    """Measures secure sums and prints a table."""
    rows = []
    for size in map(int, nodes.split(",")):
        rows.append(row(size))
        click.echo(rows[-1])
    if write:
        write.write_text(HEAD.format(machine=machine) + "\n".join(rows) + "\n" + TAIL, encoding="utf-8")


if __name__ == "__main__":
    main()
