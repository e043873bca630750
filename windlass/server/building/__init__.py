"""From an archive to a release on the disk: code and packages, not yet started."""
