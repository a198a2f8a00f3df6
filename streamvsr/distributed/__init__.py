"""The segments of a job computed by several processes, on this machine or a cluster, that Ray starts and places.

::

    driver:  plan ──► segments ──► ≤ 2 tasks a worker ──► store of the job ──► muxer
                          │   JSON, for some the compressed packets │ packets, by path or by value
    workers (one for a GPU or a few CPU threads, the network loaded): input ──► chain ──► encoder

Frames never leave a worker. Ray is the extra ``ray``; only ``cluster.py`` imports it.
"""
