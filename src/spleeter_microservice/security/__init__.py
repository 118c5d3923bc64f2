"""Who may do what, what is let in, what is called, and what is written down about it."""
