"""The only rooms that know bytes at rest.

local   a folder for each artifact, named by its sha256
"""
