"""Models as documents that every engine can read: coefficients in JSON, one folder for each version."""
