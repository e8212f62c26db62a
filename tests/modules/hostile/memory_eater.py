"""Takes memory and uses it, so that it counts."""

print("before", flush=True)
kept = []
while True:
    kept.append(b"\1" * (16 << 20))
