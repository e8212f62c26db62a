"""All commands of ``lilypad`` with their options, a family a file; what they do is in the modules beside."""
