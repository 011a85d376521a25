"""HTTP client for OCI registries."""
