"""Durable jobs: the database, the queue and the worker."""
