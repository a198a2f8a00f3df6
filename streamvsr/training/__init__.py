"""Training of the networks that ship with streamvsr; not needed to run them."""
