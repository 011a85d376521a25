"""Verbs about builds: ``build`` and what it shows, and the cache."""
