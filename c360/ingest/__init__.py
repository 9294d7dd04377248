"""From landing files to bronze rows: discovery, reading text exactly as received, idempotent planning."""
