"""The version, where every floor can read it."""

__version__ = "0.1.0"

#: What images that were made here say in ``docker_version``.
MAKER = f"lamina {__version__}"
