"""Content addressing: files and folders as DAGs of blocks, each block named by the hash of its bytes."""
