"""Durable jobs: their state, claims, retention and notifications."""
