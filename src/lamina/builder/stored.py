"""Where things that builds fetched are kept: names that cost nothing to import."""

from __future__ import annotations

#: Files that ``ADD`` downloaded, by the digest of the URL.
DOWNLOADS = "lamina/build-cache/downloads"
#: Git repositories, by the digest of the remote.
REPOSITORIES = "lamina/build-cache/git"
