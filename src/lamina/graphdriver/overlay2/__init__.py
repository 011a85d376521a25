"""The overlay2 driver: the kernel's overlayfs over Docker's directories."""

from lamina.graphdriver.overlay2.driver import Overlay2Driver

__all__ = ["Overlay2Driver"]
