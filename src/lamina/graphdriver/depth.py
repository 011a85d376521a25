"""How many layers overlayfs can show; :mod:`lamina.graphdriver.overlayfs` says how."""

#: Lower directories of one overlay (``OVL_MAX_STACK``).
GROUP = 500
#: Lower directories of an overlay on an overlay: the kernel nests them once (``FILESYSTEM_MAX_STACK_DEPTH``).
MAXIMUM_LOWERS = 2 * GROUP - 1
