"""From settings to live objects: the only place that wires them together."""
