"""The demonstration: a generated company from landing files to one customer's 360, on real engines."""
