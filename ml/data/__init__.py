"""From a spec to tensors.

table     Table(x_NF, y_NT): rows with names and, for known lines, the truth
line      the tutorial's line
points    points given in full
sources   the table of sources: spec -> Table
split     train, validation and test part of a Table
scaling   standardization by training statistics, kept in float64
"""
