"""What is read: the index of a release, or its tables where there is no index."""
