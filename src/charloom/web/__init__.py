"""The page and its local server. The page shows runs and the units of models, and lets models write.

The server reads run directories, including those of runs that other processes train. The server contains
no mathematics.
"""
