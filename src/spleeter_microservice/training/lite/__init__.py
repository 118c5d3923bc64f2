"""How the built-in models are made: music is synthesised, a network learns to take it apart, and is exported."""
