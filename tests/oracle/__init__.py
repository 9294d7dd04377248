"""An independent second opinion: the gold tables, the ledger and TPC-H revenue, worked out without any product code."""
