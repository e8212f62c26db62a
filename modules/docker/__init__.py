"""Runs modules in hardened containers of a Docker engine."""
