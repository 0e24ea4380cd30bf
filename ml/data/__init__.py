"""From a spec to tensors.

table     Table(x_NF, y_NT): rows with names and, for known lines, the truth; Rows, its protocol
encoding  categories as numbers
line      the tutorial's line
points    points given in full
dataset   columns of a dataset, in memory or streamed
rowfile   rows that stay on disk
sources   the table of sources: spec -> Parts
split     train, validation and test part of a Table
scaling   standardization by training statistics in float64; the range of the training rows
"""
