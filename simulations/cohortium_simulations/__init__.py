"""Worlds with known truth, and real coordinators and nodes run on them."""
