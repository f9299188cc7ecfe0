"""A study's life: what was stored about it, what follows from that, and the rounds it asks."""
