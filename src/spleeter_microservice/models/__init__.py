"""Models: what exists, what is installed, and how weights are fetched and verified."""
