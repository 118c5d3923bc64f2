"""The audit log: a chain of hashed records."""
