"""OCI and Docker documents as typed data: descriptors, manifests, indexes, configurations, platforms."""
