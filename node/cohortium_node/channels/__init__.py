"""How envelopes reach this node and leave it; see `cohortium_protocols.channel`."""
