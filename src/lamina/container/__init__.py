"""Containers: life cycle, monitor, logs."""
