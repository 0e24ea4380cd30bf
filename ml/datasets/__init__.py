"""Files of rows: CSV, NDJSON and Parquet become one columnar file with a profile. Free of torch.

options     how a file is to be read, and its limits: ReadOptions
profile     what a dataset holds: Column, Profile; plain dataclasses
ingest      a file becomes `rows.arrow` and a Profile
reader      the rows again, a slice at a time: DatasetFile

header      what a file starts with, and the names of its columns
cells       the grammar of a cell, and the words for what it is
records     the rows of a CSV file one by one: strict, slow
columns     the figures of one column; moments, distinct: two of them
inference   types of columns from their first cells
layout      delimiter, names and types of a CSV file
conversion  the grammar as polars expressions
csvfile     CSV becomes rows
ragged      rows of a CSV file that end early
search      the first bad cell of a CSV file
ndjson      NDJSON becomes rows
roads       blocks of NDJSON become frames, by the swiftest of three readers
objects     objects of JSON become columns, exactly; structs, uniform: the same, swiftly
parquet     Parquet becomes rows
named       columns by their names, to the letter
stream      rows on their way to disk; early: in good time
tally       their profile as they pass; many: a look at many columns at once
columns     the figures of one column; moments, distinct: some of them
"""
