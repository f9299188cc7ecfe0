"""The coverage study: many made-up studies with known truth, run through the real estimator in memory."""
