"""Policy, pure: what a job creator, a resource provider and a mediator do about what they hear."""
