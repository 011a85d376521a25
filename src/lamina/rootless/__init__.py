"""Working for an ordinary user: ids and mounts of one's own, in a user namespace."""
