"""Data at the node: canonical tables in, one analysis table out, definitions in one place.

``source`` opens a custodian's folder, ``cohort`` the provider's file, ``extract`` asks the database for one
row a person, and ``reference`` says in plain Python what ``extract`` must answer.
"""
