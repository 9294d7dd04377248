"""What the streams say of each customer this moment, beside the last release of the tables."""
