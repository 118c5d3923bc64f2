"""Makes the built-in models: synthesises music, trains a network to take it apart, and exports it."""
