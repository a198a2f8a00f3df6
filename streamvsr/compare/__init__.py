"""Videos beside each other: the sliding comparison, side by side, stacked, split, enlarged, as a video or as a still.

::

    input 1 ──► its own run ──► Reader ─┐
    input 2 ──► its own run ──► Reader ─┼─► pairing ──► painter ──► CompareSource ──► the run that writes
    ...                                 ┘

The first input gives the sound. Every input is read as a stream: memory does not depend on their length.
"""
