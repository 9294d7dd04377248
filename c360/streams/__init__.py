"""Streaming jobs: what they are, their SQL, and how they are started, watched and stopped."""
