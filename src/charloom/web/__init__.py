"""The page: a local server that shows runs, lets models write, and looks inside them.

It reads run directories and knows no mathematics; what it shows, other processes may be training.
"""
