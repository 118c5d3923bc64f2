"""Spleeter's U-Nets: spectrograms, networks, masks and filters."""
