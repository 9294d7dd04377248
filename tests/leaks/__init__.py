"""What the service says in any test is searched for people: answers, the log, spans, the audit log."""
