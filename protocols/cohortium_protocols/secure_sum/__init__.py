"""A sum over nodes that shows nobody a single node's figures: Bonawitz et al. (2017), as two state machines.

``Participant`` is a node, ``Aggregator`` the coordinator, which is trusted with nothing but delivery. Both are told
what arrived and return what to say; files, clocks and networks are the caller's. ``messages`` has the five steps,
``secure_rules`` what makes them hold against a dishonest coordinator.
"""

from cohortium_protocols.secure_rules import Rules
from cohortium_protocols.secure_sum.aggregator import Aggregator, Total
from cohortium_protocols.secure_sum.participant import Identity, Participant
from cohortium_protocols.secure_sum.secrets import Secrets
from cohortium_protocols.secure_sum.session import Session

__all__ = ["Aggregator", "Identity", "Participant", "Rules", "Secrets", "Session", "Total"]
