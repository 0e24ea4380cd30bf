"""Random Fourier features as an architecture of Refit.

spec      what may be asked for; free of torch
module    the `nn.Module`
"""
