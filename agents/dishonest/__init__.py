"""Providers that cheat: wrappers that edit what an honest provider hears and does."""
