"""The composition root: one running peer, its state, its HTTP server, and the command line."""
