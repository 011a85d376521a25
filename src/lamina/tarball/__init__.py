"""Tar as container images use it: a bounded reader and writer, tar-split, compression."""
