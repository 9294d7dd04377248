"""The oracle of the features: the shop's changes one by one, in whole cents and whole microseconds."""
