"""Downloads: stems, archives, waveform peaks and previews."""
