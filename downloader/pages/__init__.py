"""Pages that one can look at: a run's, and the parts that a bench's is made of.

A page is one file without scripts: plots are drawn by matplotlib as SVG, set into HTML by
Jinja2, and read as well in the dark as in the light, on a phone as on a desk. Both
libraries come with the extra `report` and are loaded when a page is made.
"""
