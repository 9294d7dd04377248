"""The online feature store: the newest row of each feature, by key, in DynamoDB."""
