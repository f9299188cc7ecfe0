"""The commands of ``cohortium``, by what they are about."""
