"""What both sides of a study must agree on: plans, statistics, messages, signatures, privacy arithmetic."""
