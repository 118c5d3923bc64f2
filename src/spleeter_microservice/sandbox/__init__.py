"""Confined child processes that open untrusted files: a prober and the inference process."""
