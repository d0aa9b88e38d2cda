"""Who may do what: policies in IAM's words, and sessions that keep to them. guard.py is where to begin."""
