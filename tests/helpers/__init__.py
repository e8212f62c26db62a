"""What tests of several packages share: commands as processes, a small network of them, and programs to run."""
