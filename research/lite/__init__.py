"""Research behind the built-in models: synthesises music, trains a network to separate it, and exports it."""
