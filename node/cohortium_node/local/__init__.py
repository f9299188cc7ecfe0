"""The node's statistics: arrays in, exact integer vectors out; no noise, no files, no clock."""
