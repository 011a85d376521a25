"""Dockerfile instructions, parsed without touching anything."""
