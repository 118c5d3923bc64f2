"""The weights: where they come from, what they must be, where they are kept."""
