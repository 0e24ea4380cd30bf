"""The commands of `python -m service`, beside `serve` and `health`.

exchange    import a model from a file, export one for others to load
"""
