"""The page and its local server, which shows runs, lets models write, and shows their units.

The server reads run directories, also of runs that other processes train. It contains no mathematics.
"""
