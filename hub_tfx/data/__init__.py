"""Records and where they lie: filesystems, files, readers, schemas, images."""
