"""What is asked of public data with published answers."""

from __future__ import annotations

from cohortium_simulations.table import Column, Question

NHEFS = Question(
    treated="qsmk",
    outcomes=[Column("wt82_71")],
    covariates=[Column(name) for name in ("sex", "race", "age", "smokeintensity", "smokeyrs", "wt71")],
    categorical=["education", "exercise", "active"],
)
LALONDE = Question(
    treated="treat",
    outcomes=[Column("re78")],
    covariates=[Column(name) for name in ("age", "educ", "black", "hispan", "married", "nodegree", "re74", "re75")],
    categorical=[],
)
