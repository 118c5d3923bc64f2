"""Training of Spleeter models."""
