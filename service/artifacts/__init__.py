"""The only rooms that know bytes at rest.

local   a folder for each artifact, named by its sha256
disk    what a disk that takes nothing more comes to
"""
