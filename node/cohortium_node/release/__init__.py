"""The one door: the only code that turns numbers into something that may leave this node."""
