"""From released sums to estimates: pure post-processing, which anybody who holds the released values can repeat."""
