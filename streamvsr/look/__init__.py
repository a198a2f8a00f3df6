"""``streamvsr look``: what an input is like, what suits it, and what that would cost on this machine."""
