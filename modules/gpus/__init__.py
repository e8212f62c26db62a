"""GPUs: found by asking the machine's own tools at the start, then lent to one job at a time."""
