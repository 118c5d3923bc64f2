"""The separation resource and its event stream."""
