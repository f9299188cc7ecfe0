"""What a study can be expected to show, from its plan and what the operator expects: before anybody is asked."""
