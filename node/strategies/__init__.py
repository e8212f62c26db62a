"""Strategies that somebody else wrote: found by name or reference, and run where they can harm nothing."""
