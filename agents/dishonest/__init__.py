"""Peers that cheat: wrappers that edit what an honest provider, job creator or mediator hears and does."""
