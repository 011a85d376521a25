"""Verbs about directories shown as one tree."""
