"""The image store: configurations, and what names point at them."""
