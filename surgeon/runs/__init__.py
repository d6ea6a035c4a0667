"""A run on disk: its folder and files, the lock, checkpoints, differences."""
