"""What a video looks like before anything is done to it, and which network suits it."""
