"""Images from Dockerfiles: stages, steps, the build cache."""
