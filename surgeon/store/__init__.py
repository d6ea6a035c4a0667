"""What is computed once: kept in memory or on disk, by content."""
