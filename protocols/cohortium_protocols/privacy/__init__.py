"""Privacy arithmetic: what a release costs, and the one place that draws noise."""
