"""Runs that can be cut off and gone on with: a plan, its finished segments, and how they become the output."""
