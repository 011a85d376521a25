"""What a union of directories means: whiteouts, opaque directories, merged listings."""
