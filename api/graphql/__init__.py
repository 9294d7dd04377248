"""GraphQL over the same releases, policy and audit log as the other routes: another form of asking, no other rights."""
