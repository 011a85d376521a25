"""Named volumes."""
