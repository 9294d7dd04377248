"""The features of the streams once more, by Spark from the history of the shop's tables."""
