"""Threads, the rings between them, errors and shutdown. Knows neither av nor torch."""
