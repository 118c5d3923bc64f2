"""From a waveform to its stems: audio files, spectrograms, networks, masks."""

import os

# ONNX Runtime's wheels report to their maker unless this is said before the first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
