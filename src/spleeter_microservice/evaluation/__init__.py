"""Scores for separated stems: SDR, BSSEval and an oracle."""
