"""From a waveform to its stems: audio files, spectrograms, networks, masks."""
