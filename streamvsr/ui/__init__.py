"""The web page and its JSON interface: Starlette, jobs in processes of their own, a queue on the disk.

Nothing here reads video: looking, previews, forecasts and jobs are the command line's own commands, each in a process.
"""
