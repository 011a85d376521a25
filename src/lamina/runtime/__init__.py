"""OCI runtimes: crun and runc."""
