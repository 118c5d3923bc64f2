"""Judging models by songs whose true stems are known."""
