"""Test equipment: real services on throw-away roots, test images, checks for what a test leaves behind."""
