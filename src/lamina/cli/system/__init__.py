"""Verbs about the engine itself, and about the data root."""
