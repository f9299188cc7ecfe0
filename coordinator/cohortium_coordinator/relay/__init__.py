"""The relay: a durable mailbox, and the gRPC server that nodes and operators call."""
