"""What runs inside the sandbox, next to the stranger's program; it imports nothing of the house but itself."""
