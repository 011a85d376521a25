"""Verbs about containers, and the flags of ``run`` and ``create``."""
