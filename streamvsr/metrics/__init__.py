"""How good a result is: measures of images and of their change over time, and models measured on data sets.

``docs/metrics.md`` has the definitions. Everything is streamed: what is held does not grow with a clip but for a number
a frame and measure.
"""
