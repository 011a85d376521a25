"""Verbs about registries. (``push`` and ``pull`` are about images.)"""
