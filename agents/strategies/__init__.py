"""The strategies that come with the house."""
