"""What people come to run: manifests, the catalogue, inputs, and the executors that run a stranger's code."""
