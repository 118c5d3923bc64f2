"""Objects by key, in a local directory or a bucket."""
