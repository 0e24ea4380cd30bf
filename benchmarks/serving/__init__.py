"""How fast predictions are served, beside other servers: ratios in one run. `make bench`.

    python -m benchmarks.serving [--contestants uvicorn,refit] [--parts race,large,start,swaps]
                                 [--rounds 5] [--seconds 3] [--connections 64,1]
                                 [--venvs DIR] [--json FILE]

contestants.py  who takes part, and the settings of each
servers/        their server code; each runs in its own virtual environment (requirements/)
venvs.py        makes the virtual environments, on first use
running.py      starts a server, finds its processes, ends them
priority.py     which core, and before whom
wrk.py          runs wrk and reads its figures
steady.py       a client of a constant low rate, in a process of its own
race.py         the table of all contestants, in interleaved rounds
large.py        100,000 values in one request, beside the floor
start.py        exec to ready, and what a web worker takes in memory
swaps.py        latency idle, while a training runs, and through swaps
picture.py      draws that
"""
