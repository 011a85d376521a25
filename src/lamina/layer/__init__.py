"""The layer store: which layers exist, and how a tar becomes one."""
