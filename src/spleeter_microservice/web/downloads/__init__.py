"""Downloads: stems, archives and waveform peaks."""
