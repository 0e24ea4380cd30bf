"""What is seen from outside: logs, traces, metrics.

logs        text or JSON; configured once, by the entry point
trace       request ids and `traceparent`
cells       numbers that the processes of one tree share
layout      which cell means what
metrics     what a web worker counts
pulse       what it looks at four times a second
usage       CPU, memory and files of the tree's processes
families    every metric: name, type, labels, meaning
exposition  the cells as Prometheus' text
"""
