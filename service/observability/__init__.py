"""Logs.

logs   configured once, by the entry point
"""
