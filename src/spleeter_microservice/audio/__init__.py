"""Audio files as streams of float32 blocks, read and written."""
