"""Benchmarks: ``make bench``, ``make bench-service`` and ``make bench-crash`` run them."""
