"""The relay's wire: limits, a closed vocabulary of refusals, and the connection that both sides share."""

import os

# gRPC writes each failed handshake to stderr unless its only switch, this variable, is set before it is used.
# Our errors say what failed in words; who hunts a fault in gRPC itself sets it to "info" or "debug".
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
