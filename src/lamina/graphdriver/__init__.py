"""Graph drivers: how a stack of layers becomes a directory."""
