"""Benchmarks: lamina next to docker, podman and containerd, on one machine, in one run."""
