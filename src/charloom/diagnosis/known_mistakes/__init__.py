"""Lists the known mistakes by family: each module has the titles, equations and fixes of one family."""
