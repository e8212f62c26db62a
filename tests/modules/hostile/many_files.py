"""Leaves more files than anybody wants to list."""

for number in range(5000):
    open(f"/outputs/{number}", "w").close()
