"""Linkage: which people of this data holder are the people in the cohort file."""
