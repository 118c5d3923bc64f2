"""Signed notifications to URLs that callers name."""
