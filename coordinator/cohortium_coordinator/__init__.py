"""The operator's service: submit a plan, relay messages, combine answers, report."""
