"""Construction of live objects from the settings; the only place that wires them together."""
