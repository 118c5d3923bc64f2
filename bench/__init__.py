"""Measurements, printed side by side; ``make bench`` runs them all."""
