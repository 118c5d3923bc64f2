"""The worker: claims jobs and carries them out."""
