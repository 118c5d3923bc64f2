"""From a waveform to its stems: audio files, spectrograms, networks, masks."""

import os

# ONNX Runtime's wheels send telemetry unless this is set before the first import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
